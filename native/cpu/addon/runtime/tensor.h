#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kvsift/dtype.h"
#include "runtime/storage.h"

namespace kvsift {

/** Sizes of up to four axes, outermost first. */
class Shape {
 public:
  static constexpr std::size_t max_rank = 4;

  Shape() = default;
  Shape(std::initializer_list<std::size_t> sizes) {
    for (const std::size_t size : sizes) push(size);
  }

  void push(std::size_t size) { sizes_[rank_++] = size; }
  std::size_t rank() const { return rank_; }
  std::size_t operator[](std::size_t axis) const { return sizes_[axis]; }
  std::size_t& operator[](std::size_t axis) { return sizes_[axis]; }
  std::size_t back() const { return rank_ == 0 ? 1 : sizes_[rank_ - 1]; }
  /** Elements of the axes [from, to). */
  std::size_t product(std::size_t from, std::size_t to) const {
    std::size_t count = 1;
    for (std::size_t axis = from; axis < to; axis++) count *= sizes_[axis];
    return count;
  }
  std::size_t count() const { return product(0, rank_); }
  bool operator==(const Shape& other) const = default;

 private:
  std::array<std::size_t, max_rank> sizes_{};
  std::size_t rank_ = 0;
};

/** "[2, 3]" */
std::string format(const Shape& shape);

/** Bytes of a tensor. @throws Fault `shape_mismatch` for broken blocks, `out_of_memory` where they cannot be counted */
std::size_t tensor_bytes(const char* op, DType dtype, const Shape& shape);

/** True for f32, f16, bf16, i32 and u8. */
inline bool is_element(DType dtype) { return dtype <= DType::u8; }

/** Memory under a shape. */
struct Tensor {
  StoragePointer storage;
  DType dtype = DType::f32;
  Shape shape;

  std::size_t count() const { return shape.count(); }
  const float* floats() const { return static_cast<const float*>(storage->data()); }
  float* out() const { return static_cast<float*>(storage->data()); }
  std::int32_t* integers() const { return static_cast<std::int32_t*>(storage->data()); }
};

}  // namespace kvsift

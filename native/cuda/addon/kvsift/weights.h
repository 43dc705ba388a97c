#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvsift/dtype.h"

namespace kvsift {

class Context;
class Memory;

/** How products and attention are computed. */
enum class Compute : std::uint8_t {
  f32,   // exact values of weights and activations, f32 throughout: for comparisons; many rows are slow
  bf16,  // products of many rows and attention over 16-bit caches on tensor cores, f32 accumulation
};

/** Whether products can be folded (their gate, their norms) before they exist as a whole. */
inline constexpr bool folds_products = false;

/** Rows of a matrix: in a mapped file until it is settled, on the device from then on. */
struct WeightSource {
  DType type = DType::f32;
  const void* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  /** Row of `data` behind each row taken; null: in order. */
  const std::int32_t* row_order = nullptr;
  /** The contents of a tensor that ops may have made: not to be read before they have. */
  bool computed = false;
};

/** Device memory of a weight. */
class PackedWeight {
 public:
  explicit PackedWeight(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  /** Uninitialised, counted as a weight. @throws std::bad_alloc */
  void* take(std::size_t bytes);

 private:
  struct Piece {
    void* data;
    std::size_t bytes;
  };
  std::shared_ptr<Memory> memory_;
  std::vector<Piece> pieces_;
};

/** f32 [rows of all sources, columns] of sources on the device. */
void dequantize(Context& context, std::span<const WeightSource> sources, float* out);

/** Rows `ids` of a table on the device, times `scale`. An id out of range is a fault. @return −1: what the device finds it does not tell at once */
std::ptrdiff_t embedding(Context& context, std::span<const WeightSource> table, const std::int32_t* ids, std::size_t count, float scale, float* out);

}  // namespace kvsift

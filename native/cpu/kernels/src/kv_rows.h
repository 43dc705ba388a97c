#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernel_table.h"
#include "kvsift/kv.h"

namespace kvsift {

/** Entries of one head of a view, whatever the layout. */
class HeadRows {
 public:
  HeadRows(const KvView& view, std::size_t head)
      : table_(view.table != nullptr ? view.table + head * view.blocks_per_head : nullptr),
        block_size_(view.block_size),
        start_(view.table != nullptr ? 0 : static_cast<std::size_t>(view.starts[head])) {}

  /** Row of an entry in keys and values. */
  std::size_t row(std::size_t slot) const {
    if (table_ == nullptr) return start_ + slot;
    return static_cast<std::size_t>(table_[slot / block_size_]) * block_size_ + slot % block_size_;
  }

  /** Entries from `slot` on that lie in consecutive rows, at most `limit`. */
  std::size_t run(std::size_t slot, std::size_t limit) const {
    return table_ == nullptr ? limit : std::min(limit, block_size_ - slot % block_size_);
  }

 private:
  const std::int32_t* table_;
  std::size_t block_size_;
  std::size_t start_;
};

/** Bytes of a row of a cache. */
inline std::size_t entry_bytes(DType type, std::size_t head_dim) {
  if (type == DType::q8_0) return head_dim / 32 * 34;
  return head_dim * (type == DType::f32 ? 4 : 2);
}

inline const std::byte* row_at(const void* base, const KvView& view, std::size_t row) {
  return static_cast<const std::byte*>(base) + row * entry_bytes(view.type, view.head_dim);
}

inline std::byte* row_at(void* base, const KvView& view, std::size_t row) {
  return static_cast<std::byte*>(base) + row * entry_bytes(view.type, view.head_dim);
}

/** f32 values of a stored row. */
void widen(const RowKernels& kernels, DType type, const void* from, std::size_t count, float* to);
/** Stores f32 values as a row. A block of q8_0 with a value that is not finite is NaN throughout. */
void narrow(const RowKernels& kernels, DType type, const float* from, std::size_t count, void* to);

/** First slot of a head in [0, length) whose position is at least `position`; positions absent: slots are positions. */
std::size_t first_at_position(const KvView& view, const HeadRows& rows, std::size_t length, std::int64_t position);

}  // namespace kvsift

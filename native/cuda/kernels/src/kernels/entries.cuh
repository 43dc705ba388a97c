#pragma once

#include "math/attention.h"

namespace kvsift::KVSIFT_TARGET {

/** True where row `block · size + within` of a paged view lies in its memory. */
KVSIFT_BOTH bool block_exists(const KvView& view, std::int64_t block, std::size_t within) {
  return block >= 0 && static_cast<std::size_t>(block) * view.block_size + within < view.rows;
}

/** True where an entry has a row. */
KVSIFT_BOTH bool entry_exists(const KvView& view, unsigned head, std::int64_t slot) {
  if (slot < 0) return false;
  if (view.table == nullptr) return view.starts[head] >= 0 && static_cast<std::size_t>(view.starts[head] + slot) < view.rows;
  const std::size_t block = static_cast<std::size_t>(slot) / view.block_size;
  return block < view.blocks_per_head && block_exists(view, view.table[head * view.blocks_per_head + block], static_cast<std::size_t>(slot) % view.block_size);
}

#if defined(__CUDACC__) || defined(KVSIFT_EMULATED)

/** A chosen slot, or −1 with a fault where its head does not hold it. */
__device__ inline std::int32_t chosen_slot(std::int32_t slot, std::int32_t length, std::int32_t* faults) {
  if (slot >= 0 && slot < length) return slot;
  atomic_or(faults, KVSIFT_CUDA_FAULT_KV_SELECTION);
  return -1;
}

#endif

}  // namespace kvsift::KVSIFT_TARGET

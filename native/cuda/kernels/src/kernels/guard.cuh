#pragma once

#include "kernels/entries.cuh"
#include "kernels/warp.cuh"

// What the numbers of a cache on the device say is looked at before they become addresses: kernels that read entries go by lengths from here.
namespace kvsift::KVSIFT_TARGET {

constexpr int guard_views = 16;
constexpr unsigned guard_threads = 128;

/** True in all threads of the block where the first `count` entries of a head have rows. */
__device__ inline bool entries_exist(const KvView& view, unsigned head, std::int64_t count, int* room) {
  bool all = count >= 0;
  if (view.table == nullptr) {
    all = all && view.starts[head] >= 0 && static_cast<std::size_t>(view.starts[head] + count) <= view.rows;
  } else {
    const auto size = static_cast<std::int64_t>(view.block_size);
    all = all && count <= static_cast<std::int64_t>(view.blocks_per_head) * size;
    for (std::int64_t first = threadIdx.x * size; all && first < count; first += blockDim.x * size) {
      const std::int64_t used = count - first < size ? count - first : size;
      all = block_exists(view, view.table[head * view.blocks_per_head + static_cast<std::size_t>(first / size)], static_cast<std::size_t>(used - 1));
    }
  }
  return block_sum(all ? 0 : 1, room) == 0;
}

struct GuardArguments {
  KvView views[guard_views];
  std::int32_t* lengths[guard_views];  // [kv_heads] each
  int exactly;                         // entries that each head must hold; −1: as many as it may
  std::int32_t* faults;
};

/** Lengths of the heads of several views, 0 where they cannot be. Grid: heads, views. */
__global__ void __launch_bounds__(guard_threads) guard_lengths(const __grid_constant__ GuardArguments a) {
  await_previous();
  __shared__ int room[33];
  const KvView& view = a.views[blockIdx.y];
  const unsigned head = blockIdx.x;
  if (head >= view.kv_heads) return;
  const std::int32_t length = view.lengths[head];
  const bool inside = entries_exist(view, head, length, room);
  const bool bounded = a.exactly >= 0 ? length == a.exactly : length <= static_cast<std::int64_t>(view.max_length);
  if (threadIdx.x != 0) return;
  a.lengths[blockIdx.y][head] = inside && bounded ? length : 0;
  if (!inside) atomic_or(a.faults, KVSIFT_CUDA_FAULT_KV_RANGE);
  if (!bounded) atomic_or(a.faults, KVSIFT_CUDA_FAULT_KV_LENGTH);
}

/** Entries that a selection (offsets null: all) keeps of each head, 0 where it does not fit or the target has no room for them. Grid: heads. */
__global__ void __launch_bounds__(guard_threads) guard_kept(const KvView from, const KvView to, const std::int32_t* __restrict__ offsets, std::size_t total,
                                                            std::int32_t* __restrict__ kept, std::int32_t* __restrict__ faults) {
  __shared__ int room[33];
  const unsigned head = blockIdx.x;
  std::int64_t count = from.lengths[head];
  bool fits = true;
  if (offsets != nullptr) {
    count = static_cast<std::int64_t>(offsets[head + 1]) - offsets[head];
    fits = offsets[head] >= 0 && count >= 0 && offsets[head + 1] <= static_cast<std::int64_t>(total) && (head > 0 || offsets[0] == 0) &&
           (head + 1 < from.kv_heads || offsets[head + 1] == static_cast<std::int64_t>(total));
  }
  const bool inside = entries_exist(to, head, fits ? count : 0, room);
  if (threadIdx.x != 0) return;
  kept[head] = fits && inside ? static_cast<std::int32_t>(count) : 0;
  if (!fits) atomic_or(faults, KVSIFT_CUDA_FAULT_KV_SELECTION);
  if (!inside) atomic_or(faults, KVSIFT_CUDA_FAULT_KV_RANGE);
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/kv.cuh"
#include "kernels/warp.cuh"
#include "math/q8.h"

// Writing caches in blocks of q8_0: a warp makes a block.
namespace kvsift::KVSIFT_TARGET {

constexpr unsigned block_warps = 8;

/** One value per lane as a block; one that is not finite makes all of it NaN. */
__device__ __forceinline__ void store_block(unsigned char* to, float x) {
  const unsigned lane = threadIdx.x % 32;
  const float size = fabsf(x);
  const bool sound = warp_max(size <= 3.4028234663852886e38f ? 0.0f : 1.0f) == 0;
  const float top = warp_max(sound ? size : 0.0f);
  const float inverse = top > 0 ? 127 / top : 0.0f;
  if (lane == 0) *reinterpret_cast<std::uint16_t*>(to) = sound ? f16_round(top / 127) : 0x7e00;
  const int code = sound ? static_cast<int>(rintf(x * inverse)) : 0;
  to[2 + lane] = static_cast<unsigned char>(static_cast<std::int8_t>(code));
}

__device__ __forceinline__ unsigned char* block_of(void* data, const KvView& view, std::int64_t row, unsigned block) {
  return static_cast<unsigned char*>(data) + row * q8_row_bytes(static_cast<std::int64_t>(view.head_dim)) + static_cast<std::int64_t>(block) * q8_bytes;
}

/** Grid: blocks of a segment, `block_warps` at a time; segments. */
__global__ void __launch_bounds__(block_warps * 32) append_blocks(const __grid_constant__ AppendArguments a) {
  await_previous();
  const auto& segment = a.segments[blockIdx.y];
  const KvView& view = segment.view;
  const std::size_t blocks = view.head_dim / q8_values;
  const std::size_t index = static_cast<std::size_t>(blockIdx.x) * block_warps + threadIdx.x / 32;
  if (index >= segment.rows * view.kv_heads * blocks) return;
  const std::size_t row = index / (view.kv_heads * blocks);
  const auto head = static_cast<unsigned>(index / blocks % view.kv_heads);
  const auto block = static_cast<unsigned>(index % blocks);
  const unsigned lane = threadIdx.x % 32;
  const std::int64_t slot = static_cast<std::int64_t>(view.lengths[head]) + static_cast<std::int64_t>(row);
  if (view.lengths[head] < 0 || !entry_exists(view, head, slot)) {
    if (lane == 0) atomic_or(a.faults, KVSIFT_CUDA_FAULT_KV_RANGE);
    return;
  }
  const std::int64_t to = row_of(view, head, static_cast<unsigned>(slot));
  const std::int64_t packed = a.packed[blockIdx.y] + static_cast<std::int64_t>(row);
  const std::size_t from = (static_cast<std::size_t>(packed) * view.kv_heads + head) * view.head_dim + block * q8_values + lane;
  store_block(block_of(view.keys, view, to, block), a.k[from]);
  store_block(block_of(view.values, view, to, block), a.v[from]);
  if (lane == 0 && block == 0 && view.positions != nullptr) view.positions[to] = a.positions[packed];
}

/** A uniform view's keys or values from f32 [kv_heads, n, head_dim]; heads that are not that long stay. Grid: blocks, `block_warps` at a time. */
__global__ void __launch_bounds__(block_warps * 32) replace_blocks(const KvView view, bool keys, std::size_t n, const float* __restrict__ x) {
  const std::size_t blocks = view.head_dim / q8_values;
  const std::size_t index = static_cast<std::size_t>(blockIdx.x) * block_warps + threadIdx.x / 32;
  if (index >= view.kv_heads * n * blocks) return;
  const auto head = static_cast<unsigned>(index / (n * blocks));
  const auto slot = static_cast<unsigned>(index / blocks % n);
  if (slot >= static_cast<unsigned>(view.lengths[head])) return;
  const auto block = static_cast<unsigned>(index % blocks);
  store_block(block_of(keys ? view.keys : view.values, view, row_of(view, head, slot), block), x[index * q8_values + threadIdx.x % 32]);
}

}  // namespace kvsift::KVSIFT_TARGET

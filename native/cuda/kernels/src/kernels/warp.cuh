#pragma once

#include "math/numbers.h"

namespace kvsift::KVSIFT_TARGET {

/** Sum over `width` neighbouring lanes (a power of two), in all of them. */
template <int width, class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = width / 2; step > 0; step /= 2) value += shuffle_xor(value, static_cast<unsigned>(step));
  return value;
}

/** Sum over the lanes whose numbers are the same modulo `step` (a power of two), in all of them. */
template <unsigned step, class T>
__device__ __forceinline__ T sum_across(T value) {
#pragma unroll
  for (unsigned by = step; by < 32; by *= 2) value += shuffle_xor(value, by);
  return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const T other = shuffle_xor(value, static_cast<unsigned>(step));
    value = other > value ? other : value;
  }
  return value;
}

/** Sum over the block, in all threads. `room`: 32 values of shared memory. */
template <class T>
__device__ __forceinline__ T block_sum(T value, T* room) {
  value = warp_sum<32>(value);
  sync_block();
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
  sync_block();
  T sum = threadIdx.x % 32 < blockDim.x / 32 ? room[threadIdx.x % 32] : T{};
  return warp_sum<32>(sum);
}

/** Maximum over the block; a NaN is not looked at. */
template <class T>
__device__ __forceinline__ T block_max(T value, T* room) {
  value = warp_max(value);
  sync_block();
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
  sync_block();
  return warp_max(room[threadIdx.x % 32 < blockDim.x / 32 ? threadIdx.x % 32 : 0]);
}

/** Sum of the values of the threads before this one; `total` gets the sum of all. `room`: 33 values of shared memory. */
template <class T>
__device__ __forceinline__ T block_sum_before(T value, T* room, T& total) {
  T sum = value;
#pragma unroll
  for (unsigned step = 1; step < 32; step *= 2) {
    const T lower = shuffle_up(sum, step);
    if (threadIdx.x % 32 >= step) sum += lower;
  }
  sync_block();
  if (threadIdx.x % 32 == 31) room[threadIdx.x / 32] = sum;
  sync_block();
  T before{};
  total = T{};
  for (unsigned warp = 0; warp < blockDim.x / 32; warp++) {
    if (warp < threadIdx.x / 32) before += room[warp];
    total += room[warp];
  }
  return before + sum - value;
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/warp.cuh"
#include "math/rows.h"

// Reductions of `size` values that a function gives, in the same order wherever the values come from: bits agree.
namespace kvsift::KVSIFT_TARGET {

__device__ inline std::size_t thread_index() { return static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

/** Who makes a result. */
enum class ReduceWay {
  together,  // a warp
  strip,     // a block makes 32 neighbours
  alone,     // a thread: neighbours read neighbours
};

/** @param after results side by side */
inline ReduceWay reduce_way(std::size_t size, std::size_t after) {
  if (after < 32) return ReduceWay::together;
  // Few results of many values would leave most of the device idle.
  return size >= 128 ? ReduceWay::strip : ReduceWay::alone;
}

constexpr unsigned strip_warps = 16;
constexpr unsigned strip_threads = 32 * strip_warps;

/** By one thread. */
template <class Values>
__device__ __forceinline__ float reduce_alone(kvsift_cuda_reduce_op op, std::size_t size, const Values& value_at) {
  float best = op == KVSIFT_CUDA_REDUCE_MAX ? lowest : -lowest;
  double sum = 0;
  for (std::size_t i = 0; i < size; i++) {
    const float value = value_at(i);
    if (op == KVSIFT_CUDA_REDUCE_MAX) {
      best = larger(value, best);
    } else if (op == KVSIFT_CUDA_REDUCE_MIN) {
      best = smaller(value, best);
    } else {
      sum += value;
    }
  }
  if (op == KVSIFT_CUDA_REDUCE_MAX || op == KVSIFT_CUDA_REDUCE_MIN) return best;
  if (op == KVSIFT_CUDA_REDUCE_VARIANCE) {
    const double mean = sum / static_cast<double>(size);
    sum = 0;
    for (std::size_t i = 0; i < size; i++) {
      const double off = value_at(i) - mean;
      sum += off * off;
    }
    sum /= static_cast<double>(size) - 1;
  } else if (op == KVSIFT_CUDA_REDUCE_MEAN) {
    sum /= static_cast<double>(size);
  }
  return static_cast<float>(sum);
}

/** By a warp, whose lanes share the values; all of them get the result. */
template <class Values>
__device__ __forceinline__ float reduce_together(kvsift_cuda_reduce_op op, std::size_t size, const Values& value_at) {
  const std::size_t lane = threadIdx.x % 32;
  if (op == KVSIFT_CUDA_REDUCE_MAX || op == KVSIFT_CUDA_REDUCE_MIN) {
    const bool maximum = op == KVSIFT_CUDA_REDUCE_MAX;
    float best = maximum ? lowest : -lowest;
    for (std::size_t i = lane; i < size; i += 32) {
      const float value = value_at(i);
      best = maximum ? larger(value, best) : smaller(value, best);
    }
    for (unsigned step = 16; step > 0; step /= 2) {
      const float other = shuffle_xor(best, step);
      best = best != best ? best : maximum ? larger(other, best) : smaller(other, best);
    }
    return best;
  }
  double sum = 0;
  for (std::size_t i = lane; i < size; i += 32) sum += value_at(i);
  sum = warp_sum<32>(sum);
  if (op == KVSIFT_CUDA_REDUCE_VARIANCE) {
    const double mean = sum / static_cast<double>(size);
    sum = 0;
    for (std::size_t i = lane; i < size; i += 32) {
      const double off = value_at(i) - mean;
      sum += off * off;
    }
    sum = warp_sum<32>(sum) / (static_cast<double>(size) - 1);
  } else if (op == KVSIFT_CUDA_REDUCE_MEAN) {
    sum /= static_cast<double>(size);
  }
  return static_cast<float>(sum);
}

/**
 * By a block of `strip_threads`, one result for each lane: each warp takes each 16th value. All threads call it and get the result of their lane.
 * @param size 0 in lanes that have none
 */
template <class Values>
__device__ __forceinline__ float reduce_strip(kvsift_cuda_reduce_op op, std::size_t size, const Values& value_at) {
  __shared__ double room[strip_warps][32];
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  if (op == KVSIFT_CUDA_REDUCE_MAX || op == KVSIFT_CUDA_REDUCE_MIN) {
    const bool maximum = op == KVSIFT_CUDA_REDUCE_MAX;
    float best = maximum ? lowest : -lowest;
    for (std::size_t i = warp; i < size; i += strip_warps) {
      const float value = value_at(i);
      best = maximum ? larger(value, best) : smaller(value, best);
    }
    room[warp][lane] = best;
    sync_block();
    for (unsigned i = 0; i < strip_warps; i++) {
      const auto other = static_cast<float>(room[i][lane]);
      best = maximum ? larger(other, best) : smaller(other, best);
    }
    return best;
  }
  const auto total = [&](double own) {
    room[warp][lane] = own;
    sync_block();
    double sum = 0;
    for (unsigned i = 0; i < strip_warps; i++) sum += room[i][lane];
    return sum;
  };
  double sum = 0;
  for (std::size_t i = warp; i < size; i += strip_warps) sum += value_at(i);
  sum = total(sum);
  if (op == KVSIFT_CUDA_REDUCE_VARIANCE) {
    const double mean = sum / static_cast<double>(size);
    sum = 0;
    for (std::size_t i = warp; i < size; i += strip_warps) {
      const double off = value_at(i) - mean;
      sum += off * off;
    }
    // Everybody has read the first sums.
    sync_block();
    sum = total(sum) / (static_cast<double>(size) - 1);
  } else if (op == KVSIFT_CUDA_REDUCE_MEAN) {
    sum /= static_cast<double>(size);
  }
  return static_cast<float>(sum);
}

}  // namespace kvsift::KVSIFT_TARGET

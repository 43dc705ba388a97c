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

/** @param after results side by side, of `results` in all */
inline ReduceWay reduce_way(std::size_t size, std::size_t after, std::size_t results) {
  if (after < 32) return ReduceWay::together;
  // Few results of many values would leave most of the device idle.
  return size >= 128 && results <= 65536 ? ReduceWay::strip : ReduceWay::alone;
}

constexpr unsigned strip_warps = 16;
constexpr unsigned strip_threads = 32 * strip_warps;

/** Whether an op compares: max or min. */
__device__ inline bool compares(kvsift_cuda_reduce_op op) { return op == KVSIFT_CUDA_REDUCE_MAX || op == KVSIFT_CUDA_REDUCE_MIN; }
__device__ inline float better(kvsift_cuda_reduce_op op, float a, float b) { return op == KVSIFT_CUDA_REDUCE_MAX ? larger(a, b) : smaller(a, b); }

/** What is known of some values: the best of those that are compared, the sum of others. */
struct Fold {
  float best;
  double sum;
};

/** Values `first`, `first + step`, ... */
template <class Values>
__device__ __forceinline__ Fold fold(kvsift_cuda_reduce_op op, std::size_t first, std::size_t size, std::size_t step, const Values& value_at) {
  Fold out{op == KVSIFT_CUDA_REDUCE_MAX ? lowest : -lowest, 0};
  const bool comparing = compares(op);
  for (std::size_t i = first; i < size; i += step) {
    const float value = value_at(i);
    if (comparing) out.best = better(op, value, out.best);
    else out.sum += value;
  }
  return out;
}

/** Squares of their distances from the mean. */
template <class Values>
__device__ __forceinline__ double fold_squares(double mean, std::size_t first, std::size_t size, std::size_t step, const Values& value_at) {
  double sum = 0;
  for (std::size_t i = first; i < size; i += step) {
    const double off = value_at(i) - mean;
    sum += off * off;
  }
  return sum;
}

/**
 * The result, where `join` makes the sum of all from that of some.
 * @param join called by all threads that share the values, once or twice
 */
template <class Values, class Join>
__device__ __forceinline__ float finish_sum(kvsift_cuda_reduce_op op, double own, std::size_t first, std::size_t size, std::size_t step, const Values& value_at,
                                            const Join& join) {
  double sum = join(own);
  if (op == KVSIFT_CUDA_REDUCE_VARIANCE) {
    sum = join(fold_squares(sum / static_cast<double>(size), first, size, step, value_at)) / (static_cast<double>(size) - 1);
  } else if (op == KVSIFT_CUDA_REDUCE_MEAN) {
    sum /= static_cast<double>(size);
  }
  return static_cast<float>(sum);
}

/** By one thread. */
template <class Values>
__device__ __forceinline__ float reduce_alone(kvsift_cuda_reduce_op op, std::size_t size, const Values& value_at) {
  const Fold own = fold(op, 0, size, 1, value_at);
  if (compares(op)) return own.best;
  return finish_sum(op, own.sum, 0, size, 1, value_at, [](double sum) { return sum; });
}

/** By a warp, whose lanes share the values; all of them get the result. */
template <class Values>
__device__ __forceinline__ float reduce_together(kvsift_cuda_reduce_op op, std::size_t size, const Values& value_at) {
  const std::size_t lane = threadIdx.x % 32;
  const Fold own = fold(op, lane, size, 32, value_at);
  if (compares(op)) {
    float best = own.best;
    for (unsigned step = 16; step > 0; step /= 2) best = better(op, shuffle_xor(best, step), best);
    return best;
  }
  return finish_sum(op, own.sum, lane, size, 32, value_at, [](double sum) { return warp_sum<32>(sum); });
}

/**
 * By a block of `strip_threads`, one result for each lane: each warp takes each 16th value. All threads call it and get the result of their lane.
 * @param size 0 in lanes that have none
 */
template <class Values>
__device__ __forceinline__ float reduce_strip(kvsift_cuda_reduce_op op, std::size_t size, const Values& value_at) {
  __shared__ double room[strip_warps][32];
  const unsigned lane = threadIdx.x % 32;
  const std::size_t warp = threadIdx.x / 32;
  const Fold own = fold(op, warp, size, strip_warps, value_at);
  const auto share = [&](double value) {
    // Everybody has read what was there before.
    sync_block();
    room[warp][lane] = value;
    sync_block();
  };
  if (compares(op)) {
    share(own.best);
    float best = own.best;
    for (unsigned i = 0; i < strip_warps; i++) best = better(op, static_cast<float>(room[i][lane]), best);
    return best;
  }
  return finish_sum(op, own.sum, warp, size, strip_warps, value_at, [&](double value) {
    share(value);
    double sum = 0;
    for (unsigned i = 0; i < strip_warps; i++) sum += room[i][lane];
    return sum;
  });
}

}  // namespace kvsift::KVSIFT_TARGET

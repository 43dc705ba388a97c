#pragma once

#include "kernels/reduce.cuh"
#include "math/formula.h"

namespace kvsift::KVSIFT_TARGET {

constexpr unsigned formula_threads = 256;

/** The formula at a place, for the calling thread. What it keeps lies in dynamic shared memory, a float per slot and thread: no thread looks at another one's. */
__device__ inline float formula_here(const FormulaPlan& plan, const FormulaPlace& place) {
  return formula_value(plan, place, dynamic_shared<float>() + threadIdx.x, blockDim.x);
}

/** One element per thread. */
__global__ void __launch_bounds__(formula_threads) formula_values(const __grid_constant__ FormulaPlan plan, std::size_t count, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index();
  if (at < count) out[at] = formula_here(plan, formula_place(plan, at));
}

/** Along the last axis but one, which is `size` long: one result per thread, as `reduce_across`. */
__global__ void __launch_bounds__(formula_threads) formula_across(const __grid_constant__ FormulaPlan plan, kvsift_cuda_reduce_op op, std::size_t size,
                                                                  std::size_t count, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index();
  if (at >= count) return;
  FormulaPlace place = formula_place(plan, at);
  out[at] = reduce_alone(op, size, [&](std::size_t i) {
    place.at[2] = i;
    return formula_here(plan, place);
  });
}

/** The same with 32 results per block, as `reduce_strips`. Bounds: left to itself ptxas wants three blocks on a multiprocessor, and spills. */
__global__ void __launch_bounds__(strip_threads, 2) formula_strips(const __grid_constant__ FormulaPlan plan, kvsift_cuda_reduce_op op, std::size_t size,
                                                                float* __restrict__ out) {
  await_previous();
  const std::size_t columns = plan.size[3];
  const std::size_t strips = (columns + 31) / 32;
  const std::size_t column = blockIdx.x % strips * 32 + threadIdx.x % 32;
  const std::size_t at = blockIdx.x / strips * columns + column;
  FormulaPlace place = formula_place(plan, at);
  const float reduced = reduce_strip(op, column < columns ? size : 0, [&](std::size_t i) {
    place.at[2] = i;
    return formula_here(plan, place);
  });
  if (threadIdx.x < 32 && column < columns) out[at] = reduced;
}

/** Along `axis`, one of the last two: one result per warp, as `reduce_axis`. */
__global__ void __launch_bounds__(formula_threads) formula_axis(const __grid_constant__ FormulaPlan plan, kvsift_cuda_reduce_op op, int axis, std::size_t size,
                                                                std::size_t count, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index() / 32;
  if (at >= count) return;
  FormulaPlace place = formula_place(plan, at);
  const float reduced = reduce_together(op, size, [&](std::size_t i) {
    // Not place.at[axis]: an array that is indexed by a variable lies in memory.
    if (axis == 3) place.at[3] = i;
    else place.at[2] = i;
    return formula_here(plan, place);
  });
  if (threadIdx.x % 32 == 0) out[at] = reduced;
}

}  // namespace kvsift::KVSIFT_TARGET

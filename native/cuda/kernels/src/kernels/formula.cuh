#pragma once

#include "kernels/reduce.cuh"
#include "math/formula.h"

namespace kvsift::KVSIFT_TARGET {

constexpr unsigned formula_threads = 256;

/** Where a thread keeps results: dynamic shared memory of a float per slot and thread. No thread looks at another one's. */
__device__ inline float* formula_slots() { return dynamic_shared<float>() + threadIdx.x; }

/** One element per thread. */
__global__ void __launch_bounds__(formula_threads) formula_values(const __grid_constant__ FormulaPlan plan, std::size_t count, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index();
  if (at < count) out[at] = formula_value(plan, formula_place(plan, at), formula_slots(), formula_threads);
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
    return formula_value(plan, place, formula_slots(), formula_threads);
  });
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
    return formula_value(plan, place, formula_slots(), formula_threads);
  });
  if (threadIdx.x % 32 == 0) out[at] = reduced;
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "math/attention.h"

// Probabilities from the logits that the split-entry kernel wrote: [rows, query_heads, n].
namespace kvsift::KVSIFT_TARGET {

__global__ void __launch_bounds__(256) fill_floats(float* __restrict__ to, float value, std::size_t count) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at < count) to[at] = value;
}

/** out [query_heads, rows, n]: exp(logit − log-sum-exp), 0 where a row sees nothing. Grid: slots, rows · query heads. */
__global__ void __launch_bounds__(256) row_probabilities(const float* __restrict__ logits, const float* __restrict__ sums, int rows, int query_heads, int n,
                                                         float* __restrict__ out) {
  const int slot = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (slot >= n) return;
  for (int pair = static_cast<int>(blockIdx.y); pair < rows * query_heads; pair += static_cast<int>(gridDim.y)) {
    const int row = pair / query_heads;
    const int head = pair % query_heads;
    const float sum = sums[pair];
    const float logit = logits[static_cast<std::size_t>(pair) * n + slot];
    out[(static_cast<std::size_t>(head) * rows + row) * n + slot] = sum == lowest || logit == lowest ? 0.0f : expf(logit - sum);
  }
}

/** Adds a batch of rows to the statistics [query_heads, n]; `begin` starts them. Grid: slots, query heads. */
__global__ void __launch_bounds__(256) column_fold(const float* __restrict__ logits, const float* __restrict__ sums, int rows, int query_heads, int n,
                                                   bool maximum, bool begin, float* __restrict__ out) {
  const int slot = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  if (slot >= n) return;
  float* to = out + static_cast<std::size_t>(head) * n + slot;
  float value = begin ? 0.0f : *to;
  for (int row = 0; row < rows; row++) {
    const std::size_t pair = static_cast<std::size_t>(row) * query_heads + head;
    const float logit = logits[pair * n + slot];
    if (sums[pair] == lowest || logit == lowest) continue;
    const float probability = expf(logit - sums[pair]);
    value = maximum ? fmaxf(value, probability) : value + probability;
  }
  *to = value;
}

/** Log-sum-exps of all entries from those of their parts. */
__global__ void __launch_bounds__(256) join_sums(const float* __restrict__ parts, int splits, std::size_t stride, float* __restrict__ out) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= stride) return;
  float top = lowest;
  for (int part = 0; part < splits; part++) top = fmaxf(top, parts[part * stride + at]);
  float sum = 0;
  for (int part = 0; part < splits; part++) sum += weight_of(parts[part * stride + at] * log2_e, top * log2_e);
  out[at] = log_sum_of(top == lowest ? lowest : top * log2_e, sum);
}

}  // namespace kvsift::KVSIFT_TARGET

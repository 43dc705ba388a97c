#pragma once

#include "kernels/warp.cuh"
#include "math/rows.h"

namespace kvsift::KVSIFT_TARGET {

/** One block per row. */
__global__ void __launch_bounds__(256) norm_rows(const float* x, int columns, const float* __restrict__ weight, float epsilon, float weight_offset,
                                                 float* out) {
  __shared__ float room[33];
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * columns;
  float squares = 0;
  for (int c = static_cast<int>(threadIdx.x); c < columns; c += static_cast<int>(blockDim.x)) squares = fmaf(x[at + c], x[at + c], squares);
  const float factor = 1 / sqrtf(block_sum(squares, room) / static_cast<float>(columns) + epsilon);
  for (int c = static_cast<int>(threadIdx.x); c < columns; c += static_cast<int>(blockDim.x)) out[at + c] = x[at + c] * factor * (weight[c] + weight_offset);
}

__global__ void __launch_bounds__(256) gate_rows(const float* __restrict__ x, std::size_t count, std::size_t half, kvsift_cuda_activation kind,
                                                 float* __restrict__ out) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const float* row = x + at / half * 2 * half;
  out[at] = activate(kind, row[at % half]) * row[half + at % half];
}

__global__ void __launch_bounds__(256) cap_values(const float* x, std::size_t count, float cap, float* out) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at < count) out[at] = cap * tanhf(x[at] / cap);
}

/** One block per row; cos and sin of each pair are made once for all heads. Dynamic shared memory: a Rotation per pair. */
__global__ void __launch_bounds__(256) rope_rows(const float* x, int heads, int head_dim, const std::int32_t* __restrict__ positions,
                                                 const float* __restrict__ frequencies, int half, float scale, float* out) {
  auto* turns = dynamic_shared<Rotation>();
  for (int pair = static_cast<int>(threadIdx.x); pair < half; pair += static_cast<int>(blockDim.x)) {
    turns[pair] = rotation(positions[blockIdx.x], frequencies[pair], scale);
  }
  sync_block();
  const std::size_t row = static_cast<std::size_t>(blockIdx.x) * heads * head_dim;
  const int rest = head_dim - 2 * half;
  for (int at = static_cast<int>(threadIdx.x); at < heads * (half + rest); at += static_cast<int>(blockDim.x)) {
    const std::size_t head = row + static_cast<std::size_t>(at / (half + rest)) * head_dim;
    const int c = at % (half + rest);
    if (c < half) {
      const float a = x[head + c];
      const float b = x[head + half + c];
      out[head + c] = a * turns[c].cosine - b * turns[c].sine;
      out[head + half + c] = b * turns[c].cosine + a * turns[c].sine;
    } else {
      out[head + half + c] = x[head + half + c];
    }
  }
}

}  // namespace kvsift::KVSIFT_TARGET

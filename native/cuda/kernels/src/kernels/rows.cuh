#pragma once

#include "kernels/warp.cuh"
#include "math/rows.h"

namespace kvsift::KVSIFT_TARGET {

constexpr unsigned norm_threads = 1024;

/** One block per row. `Part`: a float, or four of them where rows lie on boundaries of 16 bytes; `count` of them make a row. */
template <class Part>
__global__ void __launch_bounds__(norm_threads) norm_rows(const Part* x, int count, const Part* weight, float epsilon, float weight_offset,
                                                          Part* out) {
  await_previous();
  constexpr int width = sizeof(Part) / sizeof(float);
  __shared__ float room[33];
  const Part* row = x + static_cast<std::size_t>(blockIdx.x) * count;
  Part* to = out + static_cast<std::size_t>(blockIdx.x) * count;
  const auto first = static_cast<int>(threadIdx.x);
  const auto step = static_cast<int>(blockDim.x);
  float squares = 0;
  for (int at = first; at < count; at += step) {
    float values[width];
    const Part part = row[at];
    memcpy(values, &part, sizeof part);
#pragma unroll
    for (int i = 0; i < width; i++) squares = fmaf(values[i], values[i], squares);
  }
  const float factor = 1 / sqrtf(block_sum(squares, room) / static_cast<float>(count * width) + epsilon);
  for (int at = first; at < count; at += step) {
    float values[width];
    float factors[width];
    Part part = row[at];
    const Part weights = weight[at];
    memcpy(values, &part, sizeof part);
    memcpy(factors, &weights, sizeof weights);
#pragma unroll
    for (int i = 0; i < width; i++) values[i] *= factor * (factors[i] + weight_offset);
    memcpy(&part, values, sizeof part);
    to[at] = part;
  }
}

/** `Part` as in `norm_rows`; `half` of them make an output row. Grid: parts of a row, rows. */
template <class Part>
__global__ void __launch_bounds__(256) gate_rows(const Part* x, std::size_t rows, unsigned half, kvsift_cuda_activation kind,
                                                 Part* __restrict__ out) {
  await_previous();
  constexpr int width = sizeof(Part) / sizeof(float);
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= half) return;
  for (std::size_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float gates[width];
    float values[width];
    const Part gate = x[row * 2 * half + at];
    Part value = x[row * 2 * half + half + at];
    memcpy(gates, &gate, sizeof gate);
    memcpy(values, &value, sizeof value);
#pragma unroll
    for (int i = 0; i < width; i++) values[i] *= activate(kind, gates[i]);
    memcpy(&value, values, sizeof value);
    out[row * half + at] = value;
  }
}

__global__ void __launch_bounds__(256) cap_values(const float* x, std::size_t count, float cap, float* out) {
  await_previous();
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at < count) out[at] = cap * tanhf(x[at] / cap);
}

/** Grid: rows, shares of the heads; cos and sin of each pair are made once for all heads of a share. Dynamic shared memory: a Rotation per pair. */
__global__ void __launch_bounds__(256) rope_rows(const float* x, int heads, int head_dim, const std::int32_t* positions,
                                                 const float* frequencies, int half, float scale, float* out) {
  await_previous();
  auto* turns = dynamic_shared<Rotation>();
  for (int pair = static_cast<int>(threadIdx.x); pair < half; pair += static_cast<int>(blockDim.x)) {
    turns[pair] = rotation(positions[blockIdx.x], frequencies[pair], scale);
  }
  sync_block();
  const int width = head_dim - half;  // pairs, and what is not turned
  const int share = (heads + static_cast<int>(gridDim.y) - 1) / static_cast<int>(gridDim.y);
  const int first = static_cast<int>(blockIdx.y) * share;
  const int own = first + share < heads ? share : heads - first;
  const std::size_t row = (static_cast<std::size_t>(blockIdx.x) * heads + first) * head_dim;
  for (int at = static_cast<int>(threadIdx.x); at < own * width; at += static_cast<int>(blockDim.x)) {
    const std::size_t head = row + static_cast<std::size_t>(at / width) * head_dim;
    const int c = at % width;
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

/** Parts of a launch. */
constexpr int split_parts = 4;

struct SplitArguments {
  void* out[split_parts];
  unsigned widths[split_parts];  // in units
};

/** `units` columns of each row, `step` units long, to a matrix of their own each part, a `Unit` at a time. Grid: units, rows. */
template <class Unit>
__global__ void __launch_bounds__(256) split_rows(const Unit* x, unsigned units, unsigned step, std::size_t rows, const SplitArguments a) {
  await_previous();
  unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= units) return;
  const unsigned from = column;
  int part = 0;
  while (column >= a.widths[part]) column -= a.widths[part++];
  for (std::size_t row = blockIdx.y; row < rows; row += gridDim.y) {
    static_cast<Unit*>(a.out[part])[row * a.widths[part] + column] = x[row * step + from];
  }
}

}  // namespace kvsift::KVSIFT_TARGET

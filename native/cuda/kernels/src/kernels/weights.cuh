#pragma once

#include "kernels/warp.cuh"
#include "math/blocks.h"

namespace kvsift::KVSIFT_TARGET {

/** Values of a group of 8, as many as the row still has; the others are 0. Element types may end inside a group. */
template <Dtype type>
__device__ __forceinline__ void group_values(Bytes row, int group, int columns, float (&out)[8]) {
  if (group * 8 + 8 <= columns) {
    values_at<type>(row, group, out);
    return;
  }
  for (int i = 0; i < 8; i++) out[i] = 0;
  if constexpr (type == KVSIFT_CUDA_F32 || type == KVSIFT_CUDA_F16 || type == KVSIFT_CUDA_BF16) {
    for (int i = 0; group * 8 + i < columns; i++) {
      if constexpr (type == KVSIFT_CUDA_F32) {
        out[i] = reinterpret_cast<const float*>(row)[group * 8 + i];
      } else {
        const auto bits = static_cast<std::uint16_t>(pair_at(row + (group * 8 + i) * 2));
        out[i] = type == KVSIFT_CUDA_F16 ? f16_widen(bits) : bf16_widen(bits);
      }
    }
  }
}

/**
 * Rows of a table, widened and scaled: row `ids[i]`, or row i without ids. To f32, or to bf16 rows of `step` elements (zeros behind the columns).
 * Grid: groups of a row, rows.
 */
template <Dtype type, class Element>
__global__ void __launch_bounds__(128) widen_rows(Bytes data, std::size_t row_bytes, int table_rows, int columns,
                                                  const std::int32_t* ids, std::size_t rows, float scale, Element* __restrict__ out,
                                                  std::size_t step, std::int32_t* __restrict__ faults) {
  await_previous();
  const int group = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (static_cast<std::size_t>(group) * 8 >= step) return;
  for (std::size_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const std::int64_t source = ids != nullptr ? ids[row] : static_cast<std::int64_t>(row);
    float values[8] = {};
    if (source < 0 || source >= table_rows) {
      if (group == 0) atomic_or(faults, 4);
    } else if (group * 8 < columns) {
      group_values<type>(data + static_cast<std::size_t>(source) * row_bytes, group, columns, values);
    }
    for (int i = 0; i < 8; i++) {
      const std::size_t at = static_cast<std::size_t>(group) * 8 + i;
      if (at < step) out[row * step + at] = Element::round(values[i] * scale);
    }
  }
}

constexpr int product_threads = 128;
constexpr int product_outputs = 2;  // weight rows of a warp: they share each load of x

/** Products of up to `batch` rows of x with a stored weight. A warp takes 256 columns at a time, 8 per lane. */
template <Dtype type, int batch>
__global__ void __launch_bounds__(product_threads) stored_product(Bytes weight, std::size_t row_bytes, int outputs, int columns,
                                                                  const float* x, int rows, const float* bias,
                                                                  const float* residual, float* out) {
  await_previous();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first = (static_cast<int>(blockIdx.x) * (product_threads / 32) + static_cast<int>(threadIdx.x) / 32) * product_outputs;
  if (first >= outputs) return;
  float sums[product_outputs][batch] = {};
  const int groups = (columns + 7) / 8;
  const bool wide = columns % 4 == 0;
  for (int group = lane; group < groups; group += 32) {
    float w[product_outputs][8];
#pragma unroll
    for (int o = 0; o < product_outputs; o++) {
      const int output = first + o < outputs ? first + o : outputs - 1;
      group_values<type>(weight + static_cast<std::size_t>(output) * row_bytes, group, columns, w[o]);
    }
    const int count = columns - group * 8 < 8 ? columns - group * 8 : 8;
#pragma unroll
    for (int r = 0; r < batch; r++) {
      // Rows that are not there repeat the last one: their sums are dropped.
      const float* from = x + static_cast<std::size_t>(r < rows ? r : rows - 1) * columns + group * 8;
      float values[8];
      if (wide && count == 8) {
        const Vector16 low = load16(from);
        const Vector16 high = load16(from + 4);
        values[0] = same_bits<float>(low.x);
        values[1] = same_bits<float>(low.y);
        values[2] = same_bits<float>(low.z);
        values[3] = same_bits<float>(low.w);
        values[4] = same_bits<float>(high.x);
        values[5] = same_bits<float>(high.y);
        values[6] = same_bits<float>(high.z);
        values[7] = same_bits<float>(high.w);
      } else {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = i < count ? from[i] : 0.0f;
      }
#pragma unroll
      for (int o = 0; o < product_outputs; o++) {
#pragma unroll
        for (int i = 0; i < 8; i++) sums[o][r] = fmaf(w[o][i], values[i], sums[o][r]);
      }
    }
  }
#pragma unroll
  for (int o = 0; o < product_outputs; o++) {
#pragma unroll
    for (int r = 0; r < batch; r++) {
      const float sum = warp_sum<32>(sums[o][r]);
      if (lane != 0 || r >= rows || first + o >= outputs) continue;
      const std::size_t to = static_cast<std::size_t>(r) * outputs + first + o;
      out[to] = sum + (bias != nullptr ? bias[first + o] : 0.0f) + (residual != nullptr ? residual[to] : 0.0f);
    }
  }
}

/** 8 values of 16 bytes. */
template <class Element>
__device__ __forceinline__ void widen8(Vector16 word, float (&out)[8]) {
  const std::uint32_t pairs[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    out[2 * i] = Element{static_cast<std::uint16_t>(pairs[i])}.widen();
    out[2 * i + 1] = Element{static_cast<std::uint16_t>(pairs[i] >> 16)}.widen();
  }
}

/**
 * The same for rows of 16-bit elements that are whole pieces of 16 bytes: `ahead` pieces of each of a warp's `outputs` weight rows are on their way before
 * the first is used, which is what it takes to read at the speed of the memory. `columns` is a multiple of 8.
 */
template <class Element, int batch, int outputs, int ahead>
__global__ void __launch_bounds__(product_threads) streamed_product(const Element* weight, int weight_rows, int columns,
                                                                    const float* x, int rows, const float* bias,
                                                                    const float* residual, float* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first = (static_cast<int>(blockIdx.x) * (product_threads / 32) + static_cast<int>(threadIdx.x) / 32) * outputs;
  if (first >= weight_rows) return await_previous();
  const Element* from[outputs];
#pragma unroll
  for (int o = 0; o < outputs; o++) from[o] = weight + static_cast<std::size_t>(first + o < weight_rows ? first + o : weight_rows - 1) * columns;
  float sums[outputs][batch] = {};
  Vector16 w[ahead][outputs];
  // Weights are there before any kernel: while those before this one still work, the first of them come (several rows leave no registers for that).
  constexpr bool early = batch == 1;
  const auto fetch = [&](int base) {
#pragma unroll
    for (int u = 0; u < ahead; u++) {
      const int at = base + 256 * u < columns ? base + 256 * u : base;
#pragma unroll
      for (int o = 0; o < outputs; o++) w[u][o] = load16_once<early>(from[o] + at);
    }
  };
  const int own = lane * 8;
  if (early && own < columns) fetch(own);
  await_previous();
  for (int base = own; base < columns; base += 256 * ahead) {
    if (!early || base != own) fetch(base);
#pragma unroll
    for (int u = 0; u < ahead; u++) {
      const int at = base + 256 * u;
      if (at >= columns) break;
      float values[outputs][8];
#pragma unroll
      for (int o = 0; o < outputs; o++) widen8<Element>(w[u][o], values[o]);
#pragma unroll
      for (int r = 0; r < batch; r++) {
        // Rows that are not there repeat the last one: their sums are dropped.
        const float* row = x + static_cast<std::size_t>(r < rows ? r : rows - 1) * columns + at;
        const Vector16 low = load16(row);
        const Vector16 high = load16(row + 4);
        const std::uint32_t bits[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int o = 0; o < outputs; o++) {
#pragma unroll
          for (int i = 0; i < 8; i++) sums[o][r] = fmaf(values[o][i], same_bits<float>(bits[i]), sums[o][r]);
        }
      }
    }
  }
#pragma unroll
  for (int o = 0; o < outputs; o++) {
#pragma unroll
    for (int r = 0; r < batch; r++) {
      const float sum = warp_sum<32>(sums[o][r]);
      if (lane != 0 || r >= rows || first + o >= weight_rows) continue;
      const std::size_t to = static_cast<std::size_t>(r) * weight_rows + first + o;
      out[to] = sum + (bias != nullptr ? bias[first + o] : 0.0f) + (residual != nullptr ? residual[to] : 0.0f);
    }
  }
}

}  // namespace kvsift::KVSIFT_TARGET

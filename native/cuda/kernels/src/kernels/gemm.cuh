#pragma once

#include "kernels/warp.cuh"

// bf16 products with f32 accumulation where cuBLASLt is absent: 128 × 128 tiles, 32 columns at a time in three stages of cp.async.
namespace kvsift::KVSIFT_TARGET {

constexpr int gemm_threads = 256;
constexpr int gemm_tile = 128;
constexpr int gemm_depth = 32;
constexpr int gemm_stride = gemm_depth + 8;  // an odd number of 16-byte pieces
constexpr int gemm_stages = 3;
constexpr std::size_t gemm_bytes = std::size_t{gemm_stages} * 2 * gemm_tile * gemm_stride * 2;

/** out [rows, outputs] = x [rows, depth] · wᵀ (w [outputs, depth]) + bias + residual; depth is a multiple of 8. Grid: outputs, rows. */
__global__ void __launch_bounds__(gemm_threads) gemm_work(const BF16* __restrict__ x, const BF16* __restrict__ w, int rows, int outputs, int depth,
                                                          const float* __restrict__ bias, const float* residual, float* out) {
  auto* shared = dynamic_shared<BF16>();
  constexpr int part = gemm_tile * gemm_stride;
  const int first_row = static_cast<int>(blockIdx.y) * gemm_tile;
  const int first_output = static_cast<int>(blockIdx.x) * gemm_tile;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / 4 * 64;
  const int warp_output = warp % 4 * 32;
  const int turns = (depth + gemm_depth - 1) / gemm_depth;

  const auto load = [&](int turn) {
    if (turn < turns) {
      BF16* to = shared + turn % gemm_stages * 2 * part;
      for (int index = static_cast<int>(threadIdx.x); index < 2 * gemm_tile * (gemm_depth / 8); index += gemm_threads) {
        const bool second = index >= gemm_tile * (gemm_depth / 8);
        const int own = second ? index - gemm_tile * (gemm_depth / 8) : index;
        const int row = own / (gemm_depth / 8);
        const int column = own % (gemm_depth / 8) * 8;
        const int at = (second ? first_output : first_row) + row;
        const bool valid = at < (second ? outputs : rows) && turn * gemm_depth + column < depth;
        const std::size_t from = valid ? static_cast<std::size_t>(at) * depth + turn * gemm_depth + column : 0;
        copy_async(to + (second ? part : 0) + row * gemm_stride + column, (second ? w : x) + from, valid);
      }
    }
    copy_commit();
  };

  float sums[4][4][4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) sums[i][j][0] = sums[i][j][1] = sums[i][j][2] = sums[i][j][3] = 0;
  }
  load(0);
  load(1);
  for (int turn = 0; turn < turns; turn++) {
    copy_wait<1>();
    sync_block();
    load(turn + 2);
    const BF16* own_x = shared + turn % gemm_stages * 2 * part;
    const BF16* own_w = own_x + part;
#pragma unroll
    for (int k = 0; k < gemm_depth; k += 16) {
      std::uint32_t a[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++) load_matrices<false>(a[i], own_x + (warp_row + i * 16 + lane % 16) * gemm_stride + k + lane / 16 * 8);
#pragma unroll
      for (int pair = 0; pair < 2; pair++) {
        std::uint32_t b[4];
        load_matrices<false>(b, own_w + (warp_output + pair * 16 + lane / 16 * 8 + lane % 8) * gemm_stride + k + lane / 8 % 2 * 8);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          multiply_accumulate<BF16>(sums[i][2 * pair], a[i], b[0], b[1]);
          multiply_accumulate<BF16>(sums[i][2 * pair + 1], a[i], b[2], b[3]);
        }
      }
    }
  }
  copy_wait<0>();
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
      for (int c = 0; c < 4; c++) {
        const int row = first_row + warp_row + i * 16 + lane / 4 + c / 2 * 8;
        const int output = first_output + warp_output + j * 8 + lane % 4 * 2 + c % 2;
        if (row >= rows || output >= outputs) continue;
        const std::size_t to = static_cast<std::size_t>(row) * outputs + output;
        out[to] = sums[i][j][c] + (bias != nullptr ? bias[output] : 0.0f) + (residual != nullptr ? residual[to] : 0.0f);
      }
    }
  }
}

/** out = product + bias + residual, behind a library's product. */
__global__ void __launch_bounds__(256) add_bias(float* out, std::size_t count, std::size_t outputs, const float* __restrict__ bias) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count) return;
  out[at] += bias[at % outputs];
}

}  // namespace kvsift::KVSIFT_TARGET

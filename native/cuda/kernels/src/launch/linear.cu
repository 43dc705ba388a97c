#include "kernels/gemm.cuh"
#include "kernels/tile.cuh"
#include "launch/blas.h"
#include "launch/pack.h"
#include "launch/weights.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

/** Rows of x up to which weights are read straight from their stored format. */
constexpr std::size_t few_rows = 8;

/** f32 rows as bf16 rows of `step` elements. */
void pack_bf16(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, void* out, std::size_t step) {
  const bool whole = step == columns && reinterpret_cast<std::uintptr_t>(x) % 16 == 0;
  if (whole) return pack_elements(launch, KVSIFT_CUDA_BF16, x, out, rows * columns);
  widen_to_bf16(launch, {KVSIFT_CUDA_F32, x, rows, columns, 1}, out, step);
}

}  // namespace

void linear(const Launch& launch, const Weight& weight, const float* x, std::size_t rows, const float* bias, const float* residual, float* out) {
  check_weight(launch, weight);
  launch.require(rows <= 0x7fffff00, KVSIFT_CUDA_UNSUPPORTED, "too many rows");
  if (rows * weight.rows == 0) return;
  launch.pointer(out, "out", 4);
  launch.require(weight.columns > 0, KVSIFT_CUDA_SHAPE_MISMATCH, "a product needs at least one column");
  if (rows <= few_rows) return few_row_product(launch, weight, x, rows, bias, residual, out);
  launch.pointer(x, "x", 4);
  const std::size_t depth = ceil_div(weight.columns, 8) * 8;
  const bool direct = weight.type == KVSIFT_CUDA_BF16 && depth == weight.columns && reinterpret_cast<std::uintptr_t>(weight.data) % 16 == 0;
  const Scratch packed_x(launch, rows * depth * 2);
  const Scratch packed_w(launch, direct ? 0 : weight.rows * depth * 2);
  pack_bf16(launch, x, rows, weight.columns, packed_x.as<void>(), depth);
  if (!direct) widen_to_bf16(launch, weight, packed_w.as<void>(), depth);
  const void* w = direct ? weight.data : packed_w.as<void>();
  // What lies off boundaries of 16 bytes cuBLASLt's algorithms need not take.
  const auto aligned = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
  if (launch.context.blas != nullptr && aligned(out) && aligned(residual) &&
      launch.context.blas->multiply(launch, packed_x.as<void>(), w, rows, weight.rows, depth, residual, out)) {
    if (bias == nullptr) return;
    const std::size_t count = rows * weight.rows;
    launch.check(start_kernel(add_bias, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, out, count, weight.rows, bias));
    return;
  }
  const std::size_t row_tiles = ceil_div(rows, gemm_tile);
  launch.require(row_tiles <= 65535, KVSIFT_CUDA_UNSUPPORTED, "too many rows");
  const Grid grid{static_cast<unsigned>(ceil_div(weight.rows, gemm_tile)), static_cast<unsigned>(row_tiles), 1};
  launch.check(start_kernel(gemm_work, grid, gemm_threads, gemm_bytes, launch.stream, packed_x.as<BF16>(), static_cast<const BF16*>(w),
                            static_cast<int>(rows), static_cast<int>(weight.rows), static_cast<int>(depth), bias, residual, out));
}

}  // namespace kvsift::KVSIFT_TARGET

#include "launch/weights.h"

#include <algorithm>

#include "kernels/weights.cuh"

namespace kvsift::KVSIFT_TARGET {

namespace {

template <class Element>
void widen(const Launch& launch, const Weight& weight, const std::int32_t* ids, std::size_t rows, float scale, Element* out, std::size_t step) {
  if (rows == 0 || step == 0) return;
  const BlockLayout layout = block_layout(weight.type);
  const std::size_t row_bytes = weight.columns / layout.values * layout.bytes;
  const Grid grid{blocks_for(launch, ceil_div(step, 8), 128), static_cast<unsigned>(std::min<std::size_t>(rows, 65535)), 1};
  const auto start = [&](auto kernel) {
    launch.start_early(kernel, grid, 128, 0, static_cast<Bytes>(weight.data), row_bytes, static_cast<int>(weight.rows), static_cast<int>(weight.columns), ids,
                       rows, scale, out, step, launch.context.faults);
  };
  switch (weight.type) {
    case KVSIFT_CUDA_F32: return start(widen_rows<KVSIFT_CUDA_F32, Element>);
    case KVSIFT_CUDA_F16: return start(widen_rows<KVSIFT_CUDA_F16, Element>);
    case KVSIFT_CUDA_BF16: return start(widen_rows<KVSIFT_CUDA_BF16, Element>);
    case KVSIFT_CUDA_Q4_0: return start(widen_rows<KVSIFT_CUDA_Q4_0, Element>);
    case KVSIFT_CUDA_Q4_1: return start(widen_rows<KVSIFT_CUDA_Q4_1, Element>);
    case KVSIFT_CUDA_Q5_0: return start(widen_rows<KVSIFT_CUDA_Q5_0, Element>);
    case KVSIFT_CUDA_Q5_1: return start(widen_rows<KVSIFT_CUDA_Q5_1, Element>);
    case KVSIFT_CUDA_Q8_0: return start(widen_rows<KVSIFT_CUDA_Q8_0, Element>);
    case KVSIFT_CUDA_Q2_K: return start(widen_rows<KVSIFT_CUDA_Q2_K, Element>);
    case KVSIFT_CUDA_Q3_K: return start(widen_rows<KVSIFT_CUDA_Q3_K, Element>);
    case KVSIFT_CUDA_Q4_K: return start(widen_rows<KVSIFT_CUDA_Q4_K, Element>);
    case KVSIFT_CUDA_Q5_K: return start(widen_rows<KVSIFT_CUDA_Q5_K, Element>);
    case KVSIFT_CUDA_IQ4_NL: return start(widen_rows<KVSIFT_CUDA_IQ4_NL, Element>);
    case KVSIFT_CUDA_IQ4_XS: return start(widen_rows<KVSIFT_CUDA_IQ4_XS, Element>);
    default: return start(widen_rows<KVSIFT_CUDA_Q6_K, Element>);
  }
}

}  // namespace

void check_weight(const Launch& launch, const Weight& weight) {
  const BlockLayout layout = block_layout(weight.type);
  launch.require(layout.values > 0, KVSIFT_CUDA_UNSUPPORTED, "weights must be f32, f16, bf16 or blocks");
  launch.require(weight.columns % static_cast<std::size_t>(layout.values) == 0, KVSIFT_CUDA_SHAPE_MISMATCH,
                 "a row holds whole blocks of " + std::to_string(layout.values) + " values, not " + std::to_string(weight.columns) + " values");
  launch.require(weight.rows <= 0x7fffff00 && weight.columns <= 0x7fffff00, KVSIFT_CUDA_UNSUPPORTED, "too many rows or columns");
  if (weight.rows * weight.columns > 0) launch.pointer(weight.data, "weight", weight.type == KVSIFT_CUDA_F32 ? 4 : 2);
}

void embedding(const Launch& launch, const Weight& table, const std::int32_t* ids, std::size_t count, float scale, float* out) {
  check_weight(launch, table);
  if (count * table.columns == 0) return;
  launch.pointer(ids, "ids", 4);
  launch.pointer(out, "out", 4);
  widen(launch, table, ids, count, scale, reinterpret_cast<F32*>(out), table.columns);
}

void dequantize(const Launch& launch, const Weight& weight, float* out) {
  check_weight(launch, weight);
  if (weight.rows * weight.columns == 0) return;
  launch.pointer(out, "out", 4);
  widen(launch, weight, nullptr, weight.rows, 1.0f, reinterpret_cast<F32*>(out), weight.columns);
}

void widen_to_bf16(const Launch& launch, const Weight& weight, void* out, std::size_t step) {
  widen(launch, weight, nullptr, weight.rows, 1.0f, static_cast<BF16*>(out), step);
}

}  // namespace kvsift::KVSIFT_TARGET

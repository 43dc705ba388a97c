#include "kernels/weights.cuh"
#include "launch/weights.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

/** Where rows of 16-bit elements lie on boundaries of 16 bytes. */
template <class Element>
void start_streamed(const Launch& launch, const Weight& weight, const float* x, std::size_t rows, const float* bias, const float* residual, float* out) {
  const auto start = [&](auto kernel, std::size_t outputs) {
    const Grid grid{blocks_for(launch, weight.rows, product_threads / 32 * outputs), 1, 1};
    launch.start_early(kernel, grid, product_threads, 0, static_cast<const Element*>(weight.data), static_cast<int>(weight.rows),
                       static_cast<int>(weight.columns), x, static_cast<int>(rows), bias, residual, out);
  };
  // The one for one row reads the weight before its turn.
  if (rows == 1 && weight.computed == 0) return start(streamed_product<Element, 1, 2, 4>, 2);
  // Many rows of x pass through the first cache for each row of the weight, so more of these share them.
  if (rows <= 4) return start(streamed_product<Element, 4, 4, 2>, 4);
  start(streamed_product<Element, 8, 4, 2>, 4);
}

}  // namespace

void few_row_product(const Launch& launch, const Weight& weight, const float* x, std::size_t rows, const float* bias, const float* residual, float* out) {
  const BlockLayout layout = block_layout(weight.type);
  const std::size_t row_bytes = weight.columns / layout.values * layout.bytes;
  launch.pointer(x, "x", weight.columns % 4 == 0 ? 16 : 4);
  if (layout.values == 1 && layout.bytes == 2 && row_bytes % 16 == 0 && reinterpret_cast<std::uintptr_t>(weight.data) % 16 == 0) {
    return weight.type == KVSIFT_CUDA_F16 ? start_streamed<F16>(launch, weight, x, rows, bias, residual, out)
                                          : start_streamed<BF16>(launch, weight, x, rows, bias, residual, out);
  }
  const Grid grid{blocks_for(launch, weight.rows, product_threads / 32 * product_outputs), 1, 1};
  const auto start = [&](auto kernel) {
    launch.start_early(kernel, grid, product_threads, 0, static_cast<Bytes>(weight.data), row_bytes, static_cast<int>(weight.rows),
                       static_cast<int>(weight.columns), x, static_cast<int>(rows), bias, residual, out);
  };
  // Formats that few files use come without the kernel for 2 to 4 rows: each kernel is compiled once per target.
#define KVSIFT_FORMAT(type) \
  case type: return rows == 1 ? start(stored_product<type, 1>) : rows <= 4 ? start(stored_product<type, 4>) : start(stored_product<type, 8>)
#define KVSIFT_RARE_FORMAT(type) \
  case type: return rows == 1 ? start(stored_product<type, 1>) : start(stored_product<type, 8>)
  switch (weight.type) {
    KVSIFT_FORMAT(KVSIFT_CUDA_F32);
    KVSIFT_FORMAT(KVSIFT_CUDA_F16);
    KVSIFT_FORMAT(KVSIFT_CUDA_BF16);
    KVSIFT_FORMAT(KVSIFT_CUDA_Q4_0);
    KVSIFT_FORMAT(KVSIFT_CUDA_Q8_0);
    KVSIFT_FORMAT(KVSIFT_CUDA_Q4_K);
    KVSIFT_FORMAT(KVSIFT_CUDA_Q6_K);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_Q4_1);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_Q5_0);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_Q5_1);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_Q2_K);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_Q3_K);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_Q5_K);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_IQ4_NL);
    KVSIFT_RARE_FORMAT(KVSIFT_CUDA_IQ4_XS);
    default: launch.refuse(KVSIFT_CUDA_UNSUPPORTED, "no product for this format");
  }
#undef KVSIFT_FORMAT
#undef KVSIFT_RARE_FORMAT
}

}  // namespace kvsift::KVSIFT_TARGET

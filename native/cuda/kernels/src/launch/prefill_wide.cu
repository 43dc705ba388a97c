#include "kernels/columns_wide.cuh"
#include "launch/prefill_wide.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

template <class Element, int head_dim>
void start(const Launch& launch, Grid grid, const PrefillArguments& a) {
  const auto kernel = a.out != nullptr ? prefill_wide<Element, head_dim, true> : prefill_wide<Element, head_dim, false>;
  launch.check(start_wide_kernel(kernel, grid, wide_threads, wide_bytes<head_dim>, launch.stream, a));
}

template <class Element, int head_dim>
void start_columns(const Launch& launch, Grid grid, const ColumnWork& a) {
  const auto kernel = a.maximum ? column_wide<Element, head_dim, true> : column_wide<Element, head_dim, false>;
  launch.check(start_wide_kernel(kernel, grid, wide_threads, wide_column_bytes<head_dim>, launch.stream, a));
}

}  // namespace

bool wide_fits(const Launch& launch, const KvView& view, const AttentionShape& shape) {
  return launch.context.warpgroups && shape.scale > 0 && shape.softcap == 0 && view.type != KVSIFT_CUDA_F32 && (view.head_dim == 64 || view.head_dim == 128);
}

void start_prefill_wide(const Launch& launch, const PrefillArguments& a, int rows, std::size_t pieces) {
  const KvView& view = a.pieces[0].view;
  const Grid grid{static_cast<unsigned>(ceil_div(static_cast<std::size_t>(rows), wide_rows)), static_cast<unsigned>(a.query_heads),
                  static_cast<unsigned>(pieces)};
  const bool half = view.type == KVSIFT_CUDA_F16;
  if (view.head_dim == 64) return half ? start<F16, 64>(launch, grid, a) : start<BF16, 64>(launch, grid, a);
  half ? start<F16, 128>(launch, grid, a) : start<BF16, 128>(launch, grid, a);
}

void start_columns_wide(const Launch& launch, const ColumnWork& a) {
  const Grid grid{static_cast<unsigned>(ceil_div(static_cast<std::size_t>(a.n), wide_keys)), static_cast<unsigned>(a.query_heads), 1};
  const bool half = a.view.type == KVSIFT_CUDA_F16;
  if (a.view.head_dim == 64) return half ? start_columns<F16, 64>(launch, grid, a) : start_columns<BF16, 64>(launch, grid, a);
  half ? start_columns<F16, 128>(launch, grid, a) : start_columns<BF16, 128>(launch, grid, a);
}

}  // namespace kvsift::KVSIFT_TARGET

#include "kvsift/reduce.h"

#include <algorithm>
#include <limits>

#include "kernel_table.h"

namespace kvsift {

namespace {

float of_nothing(ReduceOp op) {
  using Limits = std::numeric_limits<float>;
  return op == ReduceOp::max ? -Limits::infinity() : op == ReduceOp::min ? Limits::infinity() : op == ReduceOp::mean ? Limits::quiet_NaN() : 0.0F;
}

}  // namespace

void reduce_rows(const Context& context, ReduceOp op, const float* x, std::size_t rows, std::size_t size, float* out) {
  if (size == 0) return static_cast<void>(std::fill_n(out, rows, of_nothing(op)));
  context.kernels().reductions.rows(op, x, rows, size, out);
}

void reduce_columns(const Context& context, ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t columns, float* out) {
  if (size == 0) return static_cast<void>(std::fill_n(out, columns, of_nothing(op)));
  context.kernels().reductions.columns(op, x, size, stride, columns, out);
}

}  // namespace kvsift

#include "kvsift/reduce.h"

#include "kernel_table.h"

namespace kvsift {

void reduce_rows(const Context& context, ReduceOp op, const float* x, std::size_t rows, std::size_t size, float* out) {
  context.kernels().reductions.rows(op, x, rows, size, out);
}

void reduce_columns(const Context& context, ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t columns, float* out) {
  context.kernels().reductions.columns(op, x, size, stride, columns, out);
}

}  // namespace kvsift

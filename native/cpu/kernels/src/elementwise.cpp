#include "kvsift/elementwise.h"

#include "kernel_table.h"

namespace kvsift {

void map_row(const Context& context, UnaryOp op, const float* x, std::size_t count, float* out) { context.kernels().elements.map(op, x, count, out); }

void zip_row(const Context& context, BinaryOp op, const float* a, std::size_t a_step, const float* b, std::size_t b_step, std::size_t count, float* out) {
  context.kernels().elements.zip(op, a, a_step, b, b_step, count, out);
}

}  // namespace kvsift

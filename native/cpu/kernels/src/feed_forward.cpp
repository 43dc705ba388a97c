#include "kvsift/feed_forward.h"

#include "kvsift/linear.h"
#include "section_products.h"

namespace kvsift {

namespace {

/** The norm of each row as bf16, rows `stride` apart. */
void norm_to_halves(Context& context, const FeedForward& part, const float* x, std::size_t rows, std::uint16_t* halves, std::size_t stride) {
  const std::size_t columns = part.gate_up.columns();
  context.parallel_for(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* normed = static_cast<float*>(context.thread_scratch(thread, stride * sizeof(float)));
    normed[stride - 1] = 0;
    for (std::size_t row = begin; row < end; row++) {
      context.kernels().rows.rms_norm(x + row * columns, columns, part.norm, part.epsilon, part.weight_offset, normed);
      context.kernels().rows.to_bf16(normed, stride, halves + row * stride);
    }
  });
}

/** Where what lies between the products can be bf16 throughout; else false, and nothing that counts is done. */
bool feed_pairs(Context& context, Compute compute, const FeedForward& part, const FeedForwardRows& rows) {
  const auto& kernels = context.kernels().products;
  if (rows.apart || rows.count < pair_rows || !takes_pairs(part.gate_up, compute, kernels) || !takes_pairs(part.down, compute, kernels)) return false;
  const std::size_t columns = part.gate_up.columns();
  const std::size_t stride = (columns + 1) / 2 * 2;
  auto* normed = reinterpret_cast<std::uint16_t*>(rows.normed);
  auto* middle = reinterpret_cast<std::uint16_t*>(rows.middle);
  norm_to_halves(context, part, rows.x, rows.count, normed, stride);
  Prepared first(context, normed, stride, rows.count, columns);
  const std::size_t inner = part.down.columns();
  if (!multiply_gated(context, compute, part.gate_up, first, rows.count, false, part.gate_up_bias, part.activation, {nullptr, middle, inner})) return false;
  Prepared second(context, middle, inner, rows.count, inner);
  multiply(context, compute, part.down, second, rows.count, false, part.down_bias, rows.residual, rows.out);
  return true;
}

}  // namespace

void feed_forward(Context& context, Compute compute, const FeedForward& part, const FeedForwardRows& rows) {
  if (rows.count == 0 || part.down.rows() == 0 || feed_pairs(context, compute, part, rows)) return;
  rms_norm(context, rows.x, rows.count, part.gate_up.columns(), part.norm, part.epsilon, part.weight_offset, rows.normed);
  gated_linear(context, compute, part.gate_up, rows.normed, rows.count, rows.apart, part.gate_up_bias, part.activation, rows.middle);
  linear(context, compute, part.down, rows.middle, rows.count, rows.apart, part.down_bias, rows.residual, rows.out);
}

}  // namespace kvsift

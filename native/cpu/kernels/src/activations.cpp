// Products of activations with each other.
#include <algorithm>

#include "kernel_table.h"
#include "kvsift/activations.h"

namespace kvsift {

namespace {

constexpr std::size_t even(std::size_t count) { return (count + 1) / 2 * 2; }

}  // namespace

bool rounds_activations(const Context& context, Compute compute) { return compute == Compute::int8 && context.kernels().products.bf16; }

void multiply_rounded(Context& context, std::size_t thread, const RoundedProduct& product, bool add) {
  const auto& [x, x_stride, rows, b, b_stride, transposed, columns, depth, out, out_stride] = product;
  const KernelTable& kernels = context.kernels();
  const std::size_t panels = (columns + 2 * panel_rows - 1) / (2 * panel_rows) * 2;
  const std::size_t panel_bytes = even(depth) * panel_rows * 2;
  const std::size_t pointers = transposed ? columns : depth;
  const std::size_t scratch_bytes = panel_rows * (even(depth) * 2 + 64);
  const std::size_t half_bytes = (rows * even(depth) * 2 + 63) / 64 * 64;
  auto* tile = static_cast<std::byte*>(context.thread_scratch(thread, panels * panel_bytes + half_bytes + scratch_bytes + pointers * sizeof(const std::byte*)));
  auto* halves = reinterpret_cast<std::uint16_t*>(tile + panels * panel_bytes);
  std::byte* scratch = tile + panels * panel_bytes + half_bytes;
  auto* rows_of_b = reinterpret_cast<const std::byte**>(scratch + scratch_bytes);
  for (std::size_t i = 0; i < pointers; i++) rows_of_b[i] = reinterpret_cast<const std::byte*>(b + i * b_stride);
  if (transposed) kernels.attention.pack_keys(DType::f32, rows_of_b, columns, depth, true, scratch, tile);
  else kernels.attention.pack_values(DType::f32, rows_of_b, depth, even(depth), columns, true, tile);
  for (std::size_t row = 0; row < rows; row++) {
    kernels.rows.to_bf16(x + row * x_stride, depth, halves + row * even(depth));
    if (depth % 2 != 0) halves[row * even(depth) + depth] = 0;
  }
  const PairScope scope(kernels.products);
  const ProductTarget target{out, out_stride, columns, nullptr, add ? out : nullptr};
  kernels.products.pair_tile(tile, panel_bytes, (columns + panel_rows - 1) / panel_rows, even(depth) / 2, halves, even(depth), rows, target);
}

void multiply_few(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const float* b, std::size_t columns, float* out,
                  std::size_t out_stride) {
  const std::size_t stride = (columns + 31) / 32 * 32;
  auto* products = static_cast<float*>(context.thread_scratch(thread, rows * stride * sizeof(float) + columns * sizeof(const std::byte*)));
  auto* rows_of_b = reinterpret_cast<const std::byte**>(products + rows * stride);
  for (std::size_t column = 0; column < columns; column++) rows_of_b[column] = reinterpret_cast<const std::byte*>(b + column * depth);
  context.kernels().attention.few_scores(DType::f32, {rows_of_b, columns}, {}, depth, x, rows, products, stride);
  for (std::size_t row = 0; row < rows; row++) std::copy_n(products + row * stride, columns, out + row * out_stride);
}

}  // namespace kvsift

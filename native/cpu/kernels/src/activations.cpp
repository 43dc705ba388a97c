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

namespace {

/** Rows with zeros behind them up to whole vectors. */
const float* padded(const float* x, std::size_t rows, std::size_t depth, std::size_t wide, float* room) {
  if (wide == depth) return x;
  for (std::size_t row = 0; row < rows; row++) std::fill_n(std::copy_n(x + row * depth, depth, room + row * wide), wide - depth, 0.0F);
  return room;
}

}  // namespace

void multiply_few(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const float* b, std::size_t columns, float* out,
                  std::size_t out_stride) {
  const std::size_t stride = (columns + 31) / 32 * 32;
  const std::size_t wide = (depth + panel_rows - 1) / panel_rows * panel_rows;
  const std::size_t copied = wide == depth ? 0 : (rows + columns) * wide;
  auto* products = static_cast<float*>(context.thread_scratch(thread, (rows * stride + copied) * sizeof(float) + columns * sizeof(const std::byte*)));
  float* room = products + rows * stride;
  auto* rows_of_b = reinterpret_cast<const std::byte**>(room + copied);
  const float* queries = padded(x, rows, depth, wide, room);
  const float* keys = padded(b, columns, depth, wide, room + rows * wide);
  for (std::size_t column = 0; column < columns; column++) rows_of_b[column] = reinterpret_cast<const std::byte*>(keys + column * wide);
  context.kernels().attention.few_scores(DType::f32, {rows_of_b, columns}, {}, wide, queries, rows, products, stride);
  for (std::size_t row = 0; row < rows; row++) std::copy_n(products + row * stride, columns, out + row * out_stride);
}

void multiply_few_plain(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const float* b, std::size_t columns, float* out) {
  constexpr std::size_t block = 256;  // sums of so many products are added up: they lose less than one long sum
  const std::size_t whole = columns / panel_rows * panel_rows;
  auto* sums = static_cast<float*>(context.thread_scratch(thread, rows * whole * sizeof(float) + block * sizeof(const std::byte*)));
  auto* rows_of_b = reinterpret_cast<const std::byte**>(sums + rows * whole);
  std::fill_n(out, rows * columns, 0.0F);
  for (std::size_t first = 0; first < depth; first += block) {
    const std::size_t count = std::min(block, depth - first);
    for (std::size_t k = 0; k < count; k++) rows_of_b[k] = reinterpret_cast<const std::byte*>(b + (first + k) * columns);
    std::fill_n(sums, rows * whole, 0.0F);
    if (whole > 0) context.kernels().attention.few_values(DType::f32, {rows_of_b, count}, {}, whole, x + first, depth, rows, sums);
    for (std::size_t row = 0; row < rows; row++) {
      float* to = out + row * columns;
      for (std::size_t column = 0; column < whole; column++) to[column] += sums[row * whole + column];
      for (std::size_t column = whole; column < columns; column++) {
        float sum = 0;
        for (std::size_t k = first; k < first + count; k++) sum += x[row * depth + k] * b[k * columns + column];
        to[column] += sum;
      }
    }
  }
}

}  // namespace kvsift

// Products of activations with each other.
#include <algorithm>

#include "kernel_table.h"
#include "kv_rows.h"
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

void add_moments_rounded(Context& context, std::size_t thread, const MomentRows& rows, bool add, float* sums, float* products) {
  const auto& [x, stride, count, heads, dim, centre] = rows;
  const KernelTable& kernels = context.kernels();
  const std::size_t panels = (dim + panel_rows - 1) / panel_rows;
  const std::size_t padded = (count + 31) / 32 * 32;
  const std::size_t panel_bytes = padded * panel_rows * 2;
  const std::size_t bytes = heads * panels * panel_bytes;
  auto* packed = static_cast<std::byte*>(context.thread_scratch(thread, 2 * bytes));
  kernels.attention.pack_centred({x, stride, count, heads, dim, centre}, sums, packed, packed + bytes);
  const PairScope scope(kernels.products);
  for (std::size_t head = 0; head < heads; head++) {
    const std::size_t at = head * panels * panel_bytes;
    float* out = products + head * dim * dim;
    kernels.products.pair_tile(packed + at, panel_bytes, panels, padded / 2, reinterpret_cast<const std::uint16_t*>(packed + bytes + at), padded, dim,
                               {out, dim, dim, nullptr, add ? out : nullptr});
  }
}

namespace {

/** Rows in f32 with zeros behind them up to whole vectors. */
void widen_rows(const Context& context, const MatrixRows& from, std::size_t rows, std::size_t depth, std::size_t wide, float* to) {
  for (std::size_t row = 0; row < rows; row++, to += wide) {
    widen(context.kernels().rows, from.type, from.data + row * depth * block_layout(from.type).bytes, depth, to);
    std::fill_n(to + depth, wide - depth, 0.0F);
  }
}

}  // namespace

void multiply_few(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const MatrixRows& b, std::size_t columns, float* out,
                  std::size_t out_stride) {
  const auto& attention = context.kernels().attention;
  const std::size_t wide = (depth + panel_rows - 1) / panel_rows * panel_rows;
  // Rows that are no whole vectors are widened a few at a time: they stay in the first-level cache.
  const std::size_t step = wide == depth ? columns : 64;
  const std::size_t stride = (step + 31) / 32 * 32;
  const std::size_t widened = wide == depth ? 0 : (rows + step) * wide;
  auto* products = static_cast<float*>(context.thread_scratch(thread, (rows * stride + widened) * sizeof(float) + step * sizeof(const std::byte*)));
  float* queries = products + rows * stride;
  float* keys = queries + rows * wide;
  auto* rows_of_b = reinterpret_cast<const std::byte**>(products + rows * stride + widened);
  if (widened > 0) widen_rows(context, {reinterpret_cast<const std::byte*>(x), DType::f32}, rows, depth, wide, queries);
  const std::size_t row_bytes = depth * block_layout(b.type).bytes;
  for (std::size_t first = 0; first < columns; first += step) {
    const std::size_t count = std::min(step, columns - first);
    const std::byte* from = b.data + first * row_bytes;
    if (widened > 0) widen_rows(context, {from, b.type}, count, depth, wide, keys);
    for (std::size_t column = 0; column < count; column++) {
      rows_of_b[column] = widened > 0 ? reinterpret_cast<const std::byte*>(keys + column * wide) : from + column * row_bytes;
    }
    attention.few_scores(widened > 0 ? DType::f32 : b.type, {rows_of_b, count}, {}, wide, widened > 0 ? queries : x, rows, products, stride);
    for (std::size_t row = 0; row < rows; row++) std::copy_n(products + row * stride, count, out + row * out_stride + first);
  }
}

void multiply_few_plain(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const MatrixRows& b, std::size_t columns,
                        float* out) {
  constexpr std::size_t block = 256;  // sums of so many products are added up: they lose less than one long sum
  const std::size_t whole = columns / panel_rows * panel_rows;
  const std::size_t row_bytes = columns * block_layout(b.type).bytes;
  auto** rows_of_b = static_cast<const std::byte**>(context.thread_scratch(thread, block * sizeof(const std::byte*) + (rows * whole + columns) * sizeof(float)));
  auto* sums = reinterpret_cast<float*>(rows_of_b + block);
  float* tail = sums + rows * whole;
  std::fill_n(out, rows * columns, 0.0F);
  for (std::size_t first = 0; first < depth; first += block) {
    const std::size_t count = std::min(block, depth - first);
    for (std::size_t k = 0; k < count; k++) rows_of_b[k] = b.data + (first + k) * row_bytes;
    if (whole > 0) {
      std::fill_n(sums, rows * whole, 0.0F);
      context.kernels().attention.few_values(b.type, {rows_of_b, count}, {}, whole, x + first, depth, rows, sums);
      for (std::size_t row = 0; row < rows; row++) {
        for (std::size_t column = 0; column < whole; column++) out[row * columns + column] += sums[row * whole + column];
      }
    }
    for (std::size_t k = 0; k < count && whole < columns; k++) {
      widen(context.kernels().rows, b.type, rows_of_b[k] + whole * block_layout(b.type).bytes, columns - whole, tail);
      for (std::size_t row = 0; row < rows; row++) {
        for (std::size_t column = whole; column < columns; column++) out[row * columns + column] += x[row * depth + first + k] * tail[column - whole];
      }
    }
  }
}

}  // namespace kvsift

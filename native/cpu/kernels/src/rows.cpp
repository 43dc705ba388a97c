#include "kvsift/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernel_table.h"

namespace kvsift {

namespace {

/** Rows of a task that touches about 64 KB. */
std::size_t rows_per_task(std::size_t columns) { return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(columns, 1)); }

}  // namespace

void rms_norm(Context& context, const float* x, std::size_t rows, std::size_t columns, const float* weight, float epsilon, float weight_offset, float* out) {
  const auto norm = context.kernels().rows.rms_norm;
  context.parallel_for(rows, rows_per_task(columns), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) norm(x + row * columns, columns, weight, epsilon, weight_offset, out + row * columns);
  });
}

void gate_row(const Context& context, Activation activation, const float* gate, const float* up, std::size_t count, float* out) {
  const RowKernels& kernels = context.kernels().rows;
  if (activation == Activation::silu) return kernels.silu(gate, up, count, out);
  if (activation == Activation::gelu_tanh) return kernels.gelu_tanh(gate, up, count, out);
  for (std::size_t c = 0; c < count; c++) out[c] = 0.5F * gate[c] * (1 + std::erf(gate[c] * 0.70710678118654752F)) * up[c];
}

void gated(Context& context, const float* x, std::size_t rows, std::size_t half, Activation activation, float* out) {
  context.parallel_for(rows, rows_per_task(2 * half), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) gate_row(context, activation, x + row * 2 * half, x + (row * 2 + 1) * half, half, out + row * half);
  });
}

void softcap(Context& context, const float* x, std::size_t count, float cap, float* out) {
  const auto kernel = context.kernels().rows.softcap;
  context.parallel_for(count, 16384, [&](std::size_t begin, std::size_t end, std::size_t) { kernel(x + begin, end - begin, cap, out + begin); });
}

void split_columns(Context& context, const float* x, std::size_t rows, std::span<const std::size_t> widths, std::span<float* const> out) {
  std::size_t columns = 0;
  for (const std::size_t width : widths) columns += width;
  context.parallel_for(rows, rows_per_task(columns), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) {
      const float* from = x + row * columns;
      for (std::size_t piece = 0; piece < widths.size(); piece++) {
        std::memcpy(out[piece] + row * widths[piece], from, widths[piece] * sizeof(float));
        from += widths[piece];
      }
    }
  });
}

void rope(Context& context, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, const std::int32_t* positions,
          const float* inverse_frequencies, std::size_t rotary, float scale, float* out) {
  const RowKernels& kernels = context.kernels().rows;
  const std::size_t half = rotary / 2;
  context.parallel_for(rows, rows_per_task(heads * head_dim), [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* cosines = static_cast<float*>(context.thread_scratch(thread, 2 * half * sizeof(float)));
    float* sines = cosines + half;
    for (std::size_t row = begin; row < end; row++) {
      kernels.rope_table(positions[row], inverse_frequencies, half, scale, cosines, sines);
      for (std::size_t head = 0; head < heads; head++) {
        const std::size_t at = (row * heads + head) * head_dim;
        kernels.rotate(x + at, cosines, sines, half, out + at);
        if (out != x && rotary < head_dim) std::memcpy(out + at + rotary, x + at + rotary, (head_dim - rotary) * sizeof(float));
      }
    }
  });
}

}  // namespace kvsift

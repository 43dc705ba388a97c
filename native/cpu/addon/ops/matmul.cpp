#include "ops/matmul.h"

#include <algorithm>
#include <cstring>

#include "kvsift/linear.h"

namespace kvsift::ops {

namespace {

constexpr std::size_t panel = 16;       // columns of one panel of b
constexpr std::size_t depth = 256;      // inner steps of one block
constexpr std::size_t row_block = 256;  // rows of one task

/** A block of b as [inner][panel], missing columns 0. */
void pack(const float* b, const MatmulShape& shape, std::size_t k, std::size_t inner, std::size_t column, std::size_t width, float* out) {
  if (width < panel) std::memset(out, 0, inner * panel * sizeof(float));
  if (shape.transpose_b) {
    for (std::size_t j = 0; j < width; j++) {
      const float* row = b + (column + j) * shape.inner + k;
      for (std::size_t i = 0; i < inner; i++) out[i * panel + j] = row[i];
    }
  } else {
    for (std::size_t i = 0; i < inner; i++) std::memcpy(out + i * panel, b + (k + i) * shape.columns + column, width * sizeof(float));
  }
}

}  // namespace

void matmul(Context& context, const MatmulShape& shape, const float* a, const float* b, float* out) {
  const std::size_t wide = panel_columns(context);
  const std::size_t tiles = (shape.columns + wide - 1) / wide;
  const std::size_t blocks = (shape.rows + row_block - 1) / row_block;
  const std::size_t batch = shape.lead.count();
  if (shape.inner == 0) {
    std::fill(out, out + batch * shape.rows * shape.columns, 0.0f);
    return;
  }
  context.parallel_for(batch * blocks * tiles, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* packed = static_cast<float*>(context.thread_scratch(thread, depth * wide * sizeof(float)));
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t column = task % tiles * wide;
      const std::size_t first_row = task / tiles % blocks * row_block;
      const std::size_t item = task / (tiles * blocks);
      std::size_t rest = item;
      std::size_t a_matrix = 0;
      std::size_t b_matrix = 0;
      for (std::size_t axis = shape.lead.rank(); axis-- > 0;) {
        a_matrix += rest % shape.lead[axis] * shape.a_steps[axis];
        b_matrix += rest % shape.lead[axis] * shape.b_steps[axis];
        rest /= shape.lead[axis];
      }
      const float* left = a + (a_matrix * shape.rows + first_row) * shape.inner;
      const float* right = b + b_matrix * shape.inner * shape.columns;
      const std::size_t width = std::min(wide, shape.columns - column);
      float* to = out + (item * shape.rows + first_row) * shape.columns + column;
      for (std::size_t k = 0; k < shape.inner; k += depth) {
        const std::size_t inner = std::min(depth, shape.inner - k);
        for (std::size_t at = 0; at < width; at += panel) pack(right, shape, k, inner, column + at, std::min(panel, width - at), packed + at * depth);
        multiply_panels(context, packed, depth * panel, width, inner, left + k, shape.inner, std::min(row_block, shape.rows - first_row), k > 0, to,
                        shape.columns);
      }
    }
  });
}

}  // namespace kvsift::ops

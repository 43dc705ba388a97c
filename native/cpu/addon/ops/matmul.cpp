#include "ops/matmul.h"

#include <algorithm>
#include <cstring>

#include "kvsift/activations.h"
#include "kvsift/linear.h"
#include "ops/elementwise.h"

namespace kvsift::ops {

namespace {

constexpr std::size_t panel = 16;       // columns of one panel of b
constexpr std::size_t depth = 256;      // inner steps of one block
constexpr std::size_t row_block = 256;  // rows of one task
constexpr std::size_t few_columns = 512;

/** A block of b as [inner][panel], missing columns 0. */
void pack(const float* b, const MatmulShape& shape, std::size_t k, std::size_t inner, std::size_t column, std::size_t width, float* out) {
  if (width < panel) std::memset(out, 0, inner * panel * sizeof(float));
  if (shape.transpose_b) {
    for (std::size_t j = 0; j < width; j++) {
      const float* row = b + (column + j) * shape.inner + k;
      for (std::size_t i = 0; i < inner; i++) out[i * panel + j] = row[i];
    }
  } else if (width == panel) {
    // Of a length known here: a few vectors, no call.
    for (std::size_t i = 0; i < inner; i++) std::memcpy(out + i * panel, b + (k + i) * shape.columns + column, panel * sizeof(float));
  } else {
    for (std::size_t i = 0; i < inner; i++) std::memcpy(out + i * panel, b + (k + i) * shape.columns + column, width * sizeof(float));
  }
}

/** Which matrices one item of the batch multiplies: numbers before them. */
struct Item {
  std::size_t a;
  std::size_t b;
};

Item item_of(const MatmulShape& shape, std::size_t item) {
  std::size_t a_matrix = 0;
  std::size_t b_matrix = 0;
  for (std::size_t axis = shape.lead.rank(); axis-- > 0;) {
    a_matrix += item % shape.lead[axis] * shape.a_steps[axis];
    b_matrix += item % shape.lead[axis] * shape.b_steps[axis];
    item /= shape.lead[axis];
  }
  return {a_matrix * shape.rows * shape.inner, b_matrix * shape.inner * shape.columns};
}

MatrixRows matrix_at(const Stored& b, std::size_t first) { return {static_cast<const std::byte*>(b.data) + first * block_layout(b.type).bytes, b.type}; }

/** All of b in f32, in memory of the context where it is not already. */
const float* widened(Context& context, const MatmulShape& shape, const Stored& b) {
  if (b.type == DType::f32) return static_cast<const float*>(b.data);
  const std::size_t count = shape.b_count();
  auto* values = static_cast<float*>(context.shared_scratch(0, count * sizeof(float)));
  to_float(context, b.type, b.data, count, values);
  return values;
}

void matmul_rounded(Context& context, const MatmulShape& shape, const float* a, const float* b, float* out) {
  constexpr std::size_t wide = 128;
  constexpr std::size_t rounded_depth = 1024;
  const std::size_t tiles = (shape.columns + wide - 1) / wide;
  const std::size_t blocks = (shape.rows + row_block - 1) / row_block;
  const std::size_t b_stride = shape.transpose_b ? shape.inner : shape.columns;
  context.parallel_for(shape.lead.count() * blocks * tiles, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t column = task % tiles * wide;
    const std::size_t row = task / tiles % blocks * row_block;
    const std::size_t index = task / (tiles * blocks);
    const Item item = item_of(shape, index);
    for (std::size_t k = 0; k < shape.inner; k += rounded_depth) {
      const float* right = b + item.b + (shape.transpose_b ? column * b_stride + k : k * b_stride + column);
      multiply_rounded(context, thread,
                       {a + item.a + row * shape.inner + k, shape.inner, std::min(row_block, shape.rows - row), right, b_stride, shape.transpose_b,
                        std::min(wide, shape.columns - column), std::min(rounded_depth, shape.inner - k),
                        out + (index * shape.rows + row) * shape.columns + column, shape.columns},
                       k > 0);
    }
  });
}

/** Few rows times the rows of b. */
void matmul_few(Context& context, const MatmulShape& shape, const float* a, const Stored& b, float* out) {
  constexpr std::size_t wide = 512;
  const std::size_t tiles = (shape.columns + wide - 1) / wide;
  context.parallel_for(shape.lead.count() * tiles, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t column = task % tiles * wide;
    const std::size_t index = task / tiles;
    const Item item = item_of(shape, index);
    multiply_few(context, thread, a + item.a, shape.rows, shape.inner, matrix_at(b, item.b + column * shape.inner), std::min(wide, shape.columns - column),
                 out + index * shape.rows * shape.columns + column, shape.columns);
  });
}

/** Few rows times matrices that are too small to be brought into another form for them. */
void matmul_few_plain(Context& context, const MatmulShape& shape, const float* a, const Stored& b, float* out) {
  context.parallel_for(shape.lead.count(), 16384 / (shape.inner * shape.columns + 1) + 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    for (std::size_t index = begin; index < end; index++) {
      const Item item = item_of(shape, index);
      multiply_few_plain(context, thread, a + item.a, shape.rows, shape.inner, matrix_at(b, item.b), shape.columns, out + index * shape.rows * shape.columns);
    }
  });
}

}  // namespace

void matmul(Context& context, Compute compute, bool coarse, const MatmulShape& shape, const float* a, const Stored& right, float* out) {
  const std::size_t wide = panel_columns(context);
  const std::size_t tiles = (shape.columns + wide - 1) / wide;
  const std::size_t blocks = (shape.rows + row_block - 1) / row_block;
  const std::size_t batch = shape.lead.count();
  if (shape.inner == 0) {
    std::fill(out, out + batch * shape.rows * shape.columns, 0.0f);
    return;
  }
  if (shape.rows <= few_product_rows && shape.transpose_b) return matmul_few(context, shape, a, right, out);
  if (shape.rows <= few_product_rows && !shape.transpose_b && shape.columns <= few_columns) return matmul_few_plain(context, shape, a, right, out);
  const float* b = widened(context, shape, right);
  if (coarse && rounds_activations(context, compute)) return matmul_rounded(context, shape, a, b, out);
  context.parallel_for(batch * blocks * tiles, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* packed = static_cast<float*>(context.thread_scratch(thread, depth * wide * sizeof(float)));
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t column = task % tiles * wide;
      const std::size_t first_row = task / tiles % blocks * row_block;
      const std::size_t item = task / (tiles * blocks);
      const Item own = item_of(shape, item);
      const float* left = a + own.a + first_row * shape.inner;
      const std::size_t width = std::min(wide, shape.columns - column);
      float* to = out + (item * shape.rows + first_row) * shape.columns + column;
      for (std::size_t k = 0; k < shape.inner; k += depth) {
        const std::size_t inner = std::min(depth, shape.inner - k);
        for (std::size_t at = 0; at < width; at += panel) pack(b + own.b, shape, k, inner, column + at, std::min(panel, width - at), packed + at * depth);
        multiply_panels(context, packed, depth * panel, width, inner, left + k, shape.inner, std::min(row_block, shape.rows - first_row), k > 0, to,
                        shape.columns);
      }
    }
  });
}

}  // namespace kvsift::ops

#include "ops/matmul.h"

#include <algorithm>
#include <cstring>

// GCC on glibc can build a function for several machines and choose at load time.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(KVSIFT_SANITIZE)
#define KVSIFT_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define KVSIFT_CLONES
#endif

namespace kvsift::ops {

namespace {

constexpr std::size_t panel = 32;       // columns of one panel of b
constexpr std::size_t depth = 256;      // inner steps of one block
constexpr std::size_t row_block = 128;  // rows of one task
constexpr std::size_t tile = 4;         // rows that share each load of b

/** acc += a[rows ≤ tile, inner] × b[inner, panel] with b packed; then added to out, of which `width` columns count. */
KVSIFT_CLONES
void multiply_tile(const float* a, std::size_t a_stride, std::size_t rows, const float* b, std::size_t inner, float* out, std::size_t out_stride,
                   std::size_t width, bool first) {
  float sums[tile][panel] = {};
  if (rows == tile) {
    for (std::size_t k = 0; k < inner; k++) {
      for (std::size_t i = 0; i < tile; i++) {
        const float factor = a[i * a_stride + k];
        for (std::size_t j = 0; j < panel; j++) sums[i][j] += factor * b[k * panel + j];
      }
    }
  } else {
    for (std::size_t i = 0; i < rows; i++) {
      for (std::size_t k = 0; k < inner; k++) {
        const float factor = a[i * a_stride + k];
        for (std::size_t j = 0; j < panel; j++) sums[i][j] += factor * b[k * panel + j];
      }
    }
  }
  for (std::size_t i = 0; i < rows; i++) {
    float* row = out + i * out_stride;
    for (std::size_t j = 0; j < width; j++) row[j] = first ? sums[i][j] : row[j] + sums[i][j];
  }
}

/** A block of b as [inner, panel], missing columns 0. */
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
  const std::size_t panels = (shape.columns + panel - 1) / panel;
  const std::size_t blocks = (shape.rows + row_block - 1) / row_block;
  const std::size_t batch = shape.lead.count();
  if (shape.inner == 0) {
    std::fill(out, out + batch * shape.rows * shape.columns, 0.0f);
    return;
  }
  context.parallel_for(batch * blocks * panels, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* packed = static_cast<float*>(context.thread_scratch(thread, depth * panel * sizeof(float)));
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t column = task % panels * panel;
      const std::size_t first_row = task / panels % blocks * row_block;
      const std::size_t item = task / (panels * blocks);
      std::size_t rest = item;
      std::size_t a_matrix = 0;
      std::size_t b_matrix = 0;
      for (std::size_t axis = shape.lead.rank(); axis-- > 0;) {
        a_matrix += rest % shape.lead[axis] * shape.a_steps[axis];
        b_matrix += rest % shape.lead[axis] * shape.b_steps[axis];
        rest /= shape.lead[axis];
      }
      const float* left = a + a_matrix * shape.rows * shape.inner;
      const float* right = b + b_matrix * shape.inner * shape.columns;
      float* to = out + item * shape.rows * shape.columns;
      const std::size_t width = std::min(panel, shape.columns - column);
      const std::size_t last_row = std::min(shape.rows, first_row + row_block);
      for (std::size_t k = 0; k < shape.inner; k += depth) {
        const std::size_t inner = std::min(depth, shape.inner - k);
        pack(right, shape, k, inner, column, width, packed);
        for (std::size_t row = first_row; row < last_row; row += tile) {
          multiply_tile(left + row * shape.inner + k, shape.inner, std::min(tile, last_row - row), packed, inner, to + row * shape.columns + column,
                        shape.columns, width, k == 0);
        }
      }
    }
  });
}

}  // namespace kvsift::ops

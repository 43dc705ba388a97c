#include "ops/covariance.h"

#include <algorithm>

#include "kvsift/activations.h"
#include "kvsift/elementwise.h"
#include "kvsift/linear.h"
#include "ops/layout.h"

namespace kvsift::ops {

namespace {

/** Parts of the rows of a head, each a task: enough for all threads, few enough that their sums take little memory. */
constexpr std::size_t parts = 4;
/** Rows that are summed in f32 before the sum goes on in f64. */
constexpr std::size_t sum_rows = 256;
constexpr std::size_t panel = 16;

void mean_of(Context& context, const float* x, std::size_t rows, std::size_t columns, float* mean) {
  const std::size_t blocks = (rows + sum_rows - 1) / sum_rows;
  auto* sums = static_cast<float*>(context.shared_scratch(0, blocks * columns * sizeof(float)));
  context.parallel_for(blocks, 1, [&](std::size_t block, std::size_t, std::size_t) {
    float* sum = sums + block * columns;
    std::copy_n(x + block * sum_rows * columns, columns, sum);
    for (std::size_t row = block * sum_rows + 1; row < std::min(rows, (block + 1) * sum_rows); row++) {
      zip_row(context, BinaryOp::add, sum, 1, x + row * columns, 1, columns, sum);
    }
  });
  for (std::size_t c = 0; c < columns; c++) {
    double sum = 0;
    for (std::size_t block = 0; block < blocks; block++) sum += static_cast<double>(sums[block * columns + c]);
    mean[c] = static_cast<float>(sum / static_cast<double>(rows));
  }
}

/** Some rows of a head less its mean, as [rows, dim] and [dim, rows], and their products. */
class Block {
 public:
  Block(Context& context, std::size_t dim, bool rounded) : context_(context), dim_(dim), rounded_(rounded), most_(std::max<std::size_t>(32, 32768 / dim)) {}

  std::size_t most() const { return most_; }
  /** Floats of scratch memory. */
  std::size_t floats() const { return (2 * dim_ + (dim_ + panel - 1) / panel * panel) * most_; }

  /** out [dim, dim] = or += Σ (row − mean)ᵀ (row − mean). The thread's own scratch is used by the products: `memory` lies elsewhere. */
  void multiply(std::size_t thread, const float* x, std::size_t stride, std::size_t rows, const float* mean, bool add, float* memory, float* out) const {
    float* centred = memory;
    float* turned = centred + most_ * dim_;
    for (std::size_t row = 0; row < rows; row++) zip_row(context_, BinaryOp::sub, x + row * stride, 1, mean, 1, dim_, centred + row * dim_);
    transpose_matrix(centred, rows, dim_, turned);
    if (rounded_) {
      multiply_rounded(context_, thread, {turned, rows, dim_, centred, dim_, false, dim_, rows, out, dim_}, add);
      return;
    }
    float* panels = turned + most_ * dim_;
    for (std::size_t first = 0; first < dim_; first += panel) {
      const std::size_t width = std::min(panel, dim_ - first);
      for (std::size_t row = 0; row < rows; row++) {
        std::fill_n(std::copy_n(centred + row * dim_ + first, width, panels + row * panel), panel - width, 0.0F);
      }
      multiply_panels(context_, panels, rows * panel, width, rows, turned, rows, dim_, add, out + first, dim_);
    }
  }

 private:
  Context& context_;
  std::size_t dim_;
  bool rounded_;
  std::size_t most_;
};

}  // namespace

void covariance(Context& context, Compute compute, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float* mean, float* out) {
  const std::size_t columns = heads * head_dim;
  const std::size_t square = head_dim * head_dim;
  mean_of(context, x, rows, columns, mean);
  const Block block(context, head_dim, rounds_activations(context, compute));
  const std::size_t step = (rows + parts - 1) / parts;
  const std::size_t used = (rows + step - 1) / step;
  auto* sums = static_cast<float*>(context.shared_scratch(0, (used * heads * square + context.threads() * block.floats()) * sizeof(float)));
  float* memory = sums + used * heads * square;
  context.parallel_for(used * heads, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t head = task % heads;
    const std::size_t begin = task / heads * step;
    const std::size_t end = std::min(rows, begin + step);
    for (std::size_t row = begin; row < end; row += block.most()) {
      block.multiply(thread, x + row * columns + head * head_dim, columns, std::min(block.most(), end - row), mean + head * head_dim, row > begin,
                     memory + thread * block.floats(), sums + task * square);
    }
  });
  context.parallel_for(heads * square, 16384, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t i = begin; i < end; i++) {
      double sum = 0;
      for (std::size_t part = 0; part < used; part++) sum += static_cast<double>(sums[part * heads * square + i]);
      out[i] = static_cast<float>(sum / static_cast<double>(rows));
    }
  });
}

}  // namespace kvsift::ops

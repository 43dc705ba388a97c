#include "ops/reduce.h"

#include <algorithm>
#include <array>
#include <limits>

namespace kvsift::ops {

namespace {

/** Columns that one pass folds. */
constexpr std::size_t strip = 64;

/** Folds `size` rows of `width` <= strip columns, `stride` apart. Sums are f64; the largest and smallest of floats are floats. */
template <class T, class Fold>
void fold(const float* x, std::size_t size, std::size_t stride, std::size_t width, std::array<T, strip>& sums, Fold step) {
  for (std::size_t k = 0; k < size; k++) {
    for (std::size_t j = 0; j < width; j++) sums[j] = step(sums[j], static_cast<T>(x[k * stride + j]), j);
  }
}

/** The same in f64 along contiguous values: some sums side by side, added up at the end. */
template <class Fold>
double fold_row(const float* x, std::size_t size, Fold step) {
  constexpr std::size_t lanes = 8;
  std::array<double, lanes> sums{};
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; lane++) sums[lane] = step(sums[lane], static_cast<double>(x[i + lane]), 0);
  }
  for (; i < size; i++) sums[i % lanes] = step(sums[i % lanes], static_cast<double>(x[i]), 0);
  double total = sums[0];
  for (std::size_t lane = 1; lane < lanes; lane++) total += sums[lane];
  return total;
}

/** The largest of contiguous values, or the smallest; four at a time. */
template <class Fold>
float end_of_row(const float* x, std::size_t size, float start, Fold step) {
  using Four [[gnu::vector_size(16), gnu::aligned(4), gnu::may_alias]] = float;
  constexpr std::size_t lanes = 4;
  Four ends = {start, start, start, start};
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) ends = step(ends, *reinterpret_cast<const Four*>(x + i), 0);
  float end = start;
  for (std::size_t lane = 0; lane < lanes; lane++) end = step(end, ends[lane], 0);
  for (; i < size; i++) end = step(end, x[i], 0);
  return end;
}

constexpr auto add = [](double sum, double v, std::size_t) { return sum + v; };
// NaN wins. `|` and not `||`, for vectors.
constexpr auto larger = [](auto most, auto v, std::size_t) { return (v > most) | (v != v) ? v : most; };
constexpr auto smaller = [](auto least, auto v, std::size_t) { return (v < least) | (v != v) ? v : least; };
constexpr float infinity = std::numeric_limits<float>::infinity();

double reduce_row(ReduceOp op, const float* x, std::size_t size) {
  if (op == ReduceOp::max) return static_cast<double>(end_of_row(x, size, -infinity, larger));
  if (op == ReduceOp::min) return static_cast<double>(end_of_row(x, size, infinity, smaller));
  const double sum = fold_row(x, size, add);
  if (op == ReduceOp::sum) return sum;
  const double count = static_cast<double>(size);
  const double mean = sum / count;
  if (op == ReduceOp::mean) return mean;
  return fold_row(x, size, [=](double squares, double v, std::size_t) { return squares + (v - mean) * (v - mean); }) / (count - 1);
}

void reduce_strip(ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t width, float* out) {
  if (op == ReduceOp::max || op == ReduceOp::min) {
    std::array<float, strip> ends;
    ends.fill(op == ReduceOp::max ? -infinity : infinity);
    if (op == ReduceOp::max) fold(x, size, stride, width, ends, larger);
    else fold(x, size, stride, width, ends, smaller);
    std::copy_n(ends.begin(), width, out);
    return;
  }
  std::array<double, strip> sums{};
  fold(x, size, stride, width, sums, add);
  const double count = static_cast<double>(size);
  if (op == ReduceOp::mean || op == ReduceOp::variance) {
    for (double& sum : sums) sum /= count;
  }
  if (op == ReduceOp::variance) {
    const std::array<double, strip> means = sums;
    sums.fill(0);
    fold(x, size, stride, width, sums, [&](double sum, double v, std::size_t j) { return sum + (v - means[j]) * (v - means[j]); });
    for (double& sum : sums) sum /= count - 1;
  }
  for (std::size_t j = 0; j < width; j++) out[j] = static_cast<float>(sums[j]);
}

}  // namespace

void reduce(Context& context, ReduceOp op, const float* x, std::size_t before, std::size_t size, std::size_t after, float* out) {
  if (after == 1) {
    context.parallel_for(before, 16384 / (size + 1) + 1, [=](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t row = begin; row < end; row++) out[row] = static_cast<float>(reduce_row(op, x + row * size, size));
    });
    return;
  }
  const std::size_t strips = (after + strip - 1) / strip;
  context.parallel_for(before * strips, 256 / (size + 1) + 1, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t row = task / strips;
      const std::size_t first = task % strips * strip;
      reduce_strip(op, x + row * size * after + first, size, after, std::min(strip, after - first), out + row * after + first);
    }
  });
}

}  // namespace kvsift::ops

#include "ops/reduce.h"

#include <algorithm>
#include <array>
#include <limits>

namespace kvsift::ops {

namespace {

/** Columns that one pass keeps sums for. */
constexpr std::size_t strip = 64;
using Sums = std::array<double, strip>;

/** Folds `size` rows of `width` <= strip columns, `stride` apart. */
template <class Fold>
void fold(const float* x, std::size_t size, std::size_t stride, std::size_t width, Sums& sums, Fold step) {
  for (std::size_t k = 0; k < size; k++) {
    for (std::size_t j = 0; j < width; j++) sums[j] = step(sums[j], static_cast<double>(x[k * stride + j]), j);
  }
}

/** The same along contiguous values: as many sums side by side as a strip has, joined at the end. */
template <class Fold>
double fold_row(const float* x, std::size_t size, double start, Fold step) {
  constexpr std::size_t lanes = 8;
  std::array<double, lanes> sums;
  sums.fill(start);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; lane++) sums[lane] = step(sums[lane], static_cast<double>(x[i + lane]), 0);
  }
  for (; i < size; i++) sums[i % lanes] = step(sums[i % lanes], static_cast<double>(x[i]), 0);
  double total = sums[0];
  for (std::size_t lane = 1; lane < lanes; lane++) total = step(total, sums[lane], 0);
  return total;
}

constexpr auto add = [](double sum, double v, std::size_t) { return sum + v; };
constexpr auto larger = [](double most, double v, std::size_t) { return v > most || v != v ? v : most; };
constexpr auto smaller = [](double least, double v, std::size_t) { return v < least || v != v ? v : least; };
constexpr double infinity = std::numeric_limits<double>::infinity();

double reduce_row(ReduceOp op, const float* x, std::size_t size) {
  if (op == ReduceOp::max) return fold_row(x, size, -infinity, larger);
  if (op == ReduceOp::min) return fold_row(x, size, infinity, smaller);
  const double sum = fold_row(x, size, 0, add);
  if (op == ReduceOp::sum) return sum;
  const double count = static_cast<double>(size);
  const double mean = sum / count;
  if (op == ReduceOp::mean) return mean;
  double squares = 0;
  for (std::size_t i = 0; i < size; i++) squares += (x[i] - mean) * (x[i] - mean);
  return squares / (count - 1);
}

void reduce_strip(ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t width, float* out) {
  Sums sums;
  sums.fill(op == ReduceOp::max ? -infinity : op == ReduceOp::min ? infinity : 0);
  if (op == ReduceOp::max) {
    fold(x, size, stride, width, sums, larger);
  } else if (op == ReduceOp::min) {
    fold(x, size, stride, width, sums, smaller);
  } else {
    fold(x, size, stride, width, sums, add);
  }
  const double count = static_cast<double>(size);
  if (op == ReduceOp::mean || op == ReduceOp::variance) {
    for (double& sum : sums) sum /= count;
  }
  if (op == ReduceOp::variance) {
    const Sums means = sums;
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

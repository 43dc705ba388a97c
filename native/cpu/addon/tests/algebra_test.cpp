#include <algorithm>
#include <limits>

#include "ops/elementwise.h"
#include "ops/formula.h"
#include "ops/layout.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/rows.h"
#include "tests/test.h"

namespace kvsift::tests {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

void test_elementwise(Report& report, Context& context) {
  const std::vector<float> x = noise(5 * 7 * 3);
  const std::vector<float> y = noise(7, 9);
  std::vector<float> out(x.size());
  std::vector<float> expected(x.size());
  ops::map(context, ops::UnaryOp::exp, x.data(), x.size(), out.data());
  for (std::size_t i = 0; i < x.size(); i++) expected[i] = std::exp(x[i]);
  report.near(out, expected, "map exp");
  ops::zip(context, ops::BinaryOp::sub, x.data(), {5, 7, 3}, y.data(), {7, 1}, {5, 7, 3}, out.data());
  for (std::size_t i = 0; i < x.size(); i++) expected[i] = x[i] - y[i / 3 % 7];
  report.near(out, expected, "zip broadcasts an inner axis");
  ops::zip(context, ops::BinaryOp::mul, y.data(), {7, 1}, x.data(), {5, 7, 3}, {5, 7, 3}, out.data());
  for (std::size_t i = 0; i < x.size(); i++) expected[i] = y[i / 3 % 7] * x[i];
  report.near(out, expected, "zip broadcasts the left operand");
  const std::vector<float> odd{nan, 1, infinity, -infinity, 2};
  const std::vector<float> other{1, nan, 3, 3, -2};
  std::vector<float> found(5);
  ops::zip(context, ops::BinaryOp::max, odd.data(), {5}, other.data(), {5}, {5}, found.data());
  report.near(found, {nan, nan, infinity, 3, 2}, "max passes NaN on");
  const std::vector<float> wide{1.9f, -1.9f, 3e9f, -3e9f, nan};
  std::vector<std::int32_t> whole(5);
  ops::to_int(context, wide.data(), 5, whole.data());
  report.check(whole == std::vector<std::int32_t>{1, -1, 2147483647, -2147483647 - 1, 0}, "to_int drops fractions and saturates");
}

void test_formula(Report& report, Context& context) {
  // Axes that are longer than a thread takes at once, and one that is not.
  for (const std::size_t size : {std::size_t{1000}, std::size_t{1100000}}) {
    const std::vector<float> x = noise(2 * size);
    const ops::FormulaStep absolute{true, ops::UnaryOp::abs, {}, 0, std::nullopt, 0};
    for (const bool rows : {false, true}) {
      std::vector<float> out(2);
      std::vector<double> sums(2);
      for (std::size_t i = 0; i < 2 * size; i++) sums[rows ? i % 2 : i / size] += std::fabs(static_cast<double>(x[i]));
      const Shape shape = rows ? Shape{size, 2} : Shape{2, size};
      ops::evaluate(context, {{shape}, {absolute}, shape}, {x.data()}, rows ? ops::Along::rows : ops::Along::columns, ReduceOp::sum, out.data());
      const auto scale = static_cast<float>(size);
      report.near({out[0] / scale, out[1] / scale}, {static_cast<float>(sums[0]) / scale, static_cast<float>(sums[1]) / scale},
                  "a formula reduced along " + std::to_string(size) + (rows ? " rows" : " columns"));
    }
  }
}

void test_rows(Report& report, Context& context) {
  const std::vector<float> x = noise(9 * 131);
  std::vector<float> out(x.size());
  ops::softmax(context, x.data(), 9, 131, out.data());
  float worst = 0;
  for (std::size_t row = 0; row < 9; row++) {
    double sum = 0;
    for (std::size_t i = 0; i < 131; i++) sum += out[row * 131 + i];
    worst = std::max(worst, static_cast<float>(std::fabs(sum - 1)));
  }
  report.check(worst < 1e-6f, "softmax sums to 1");
  ops::cumsum(context, x.data(), 9, 131, out.data());
  report.near({out[130]}, {[&] { double sum = 0; for (std::size_t i = 0; i < 131; i++) sum += x[i]; return static_cast<float>(sum); }()}, "cumsum ends at the sum");
  const std::vector<float> mixed{3, 1, nan, 1, -infinity};
  std::vector<float> ranks(5);
  ops::rank(context, mixed.data(), 1, 5, ranks.data());
  report.near(ranks, {3, 1, 4, 2, 0}, "rank breaks ties by index, NaN last");
  const std::vector<float> row{1, -2, 3, 4, 5};
  std::vector<float> pooled(5);
  ops::pool(context, ops::PoolKind::average, row.data(), 1, 5, 3, pooled.data());
  report.near(pooled, {-1.0f / 3, 2.0f / 3, 5.0f / 3, 4, 3}, "average pool pads zeros");
  ops::pool(context, ops::PoolKind::max, row.data(), 1, 5, 3, pooled.data());
  report.near(pooled, {1, 3, 4, 5, 5}, "max pool");
  for (const std::size_t after : {std::size_t{1}, std::size_t{70}}) {
    const std::vector<float> block = noise(3 * 11 * after);
    std::vector<float> variance(3 * after);
    std::vector<float> expected(3 * after);
    ops::reduce(context, ReduceOp::variance, block.data(), 3, 11, after, variance.data());
    for (std::size_t i = 0; i < 3 * after; i++) {
      const auto at = [&](std::size_t k) { return static_cast<double>(block[(i / after * 11 + k) * after + i % after]); };
      double mean = 0;
      double squares = 0;
      for (std::size_t k = 0; k < 11; k++) mean += at(k) / 11;
      for (std::size_t k = 0; k < 11; k++) squares += (at(k) - mean) * (at(k) - mean);
      expected[i] = static_cast<float>(squares / 10);
    }
    report.near(variance, expected, "variance over an axis");
  }
  std::vector<float> nothing(4);
  ops::reduce(context, ReduceOp::max, nullptr, 2, 0, 2, nothing.data());
  report.near(nothing, {-infinity, -infinity, -infinity, -infinity}, "the maximum of nothing");
}

void test_layout(Report& report, Context& context) {
  const Shape shape{3, 5, 7, 2};
  const Shape order{2, 0, 3, 1};
  const std::vector<float> x = noise(shape.count());
  std::vector<float> out(x.size());
  std::vector<float> expected(x.size());
  ops::transpose(context, x.data(), 4, shape, order, out.data());
  std::size_t at = 0;
  for (std::size_t c = 0; c < 7; c++) {
    for (std::size_t a = 0; a < 3; a++) {
      for (std::size_t d = 0; d < 2; d++) {
        for (std::size_t b = 0; b < 5; b++) expected[at++] = x[((a * 5 + b) * 7 + c) * 2 + d];
      }
    }
  }
  report.near(out, expected, "transpose of four axes");
  const std::vector<float> matrix = noise(67 * 129);
  std::vector<float> once(matrix.size());
  std::vector<float> twice(matrix.size());
  ops::transpose(context, matrix.data(), 4, {67, 129}, {1, 0}, once.data());
  ops::transpose(context, once.data(), 4, {129, 67}, {1, 0}, twice.data());
  report.near(twice, matrix, "transposed twice");
  std::vector<float> pieces(6 * 3);
  ops::copy_pieces(context, matrix.data() + 2, 129 * 4, pieces.data(), 3 * 4, 3 * 4, 6);
  bool same = true;
  for (std::size_t i = 0; i < 18; i++) same = same && pieces[i] == matrix[i / 3 * 129 + 2 + i % 3];
  report.check(same, "copies of pieces");
}

void test_matmul(Report& report, Context& context) {
  for (const std::size_t rows : {1, 3, 4, 130}) {
    for (const std::size_t inner : {1, 17, 300}) {
      for (const std::size_t columns : {1, 31, 32, 65}) {
        for (const bool transposed : {false, true}) {
          const std::vector<float> a = noise(2 * rows * inner);
          const std::vector<float> b = noise(inner * columns, 5);
          ops::MatmulShape shape;
          shape.rows = rows;
          shape.inner = inner;
          shape.columns = columns;
          shape.transpose_b = transposed;
          shape.lead = {2};
          shape.a_steps = {1};
          shape.b_steps = {0};
          std::vector<float> out(2 * rows * columns);
          std::vector<float> expected(out.size());
          ops::matmul(context, Compute::int8, false, shape, a.data(), {b.data()}, out.data());
          for (std::size_t i = 0; i < 2 * rows; i++) {
            for (std::size_t j = 0; j < columns; j++) {
              double sum = 0;
              for (std::size_t k = 0; k < inner; k++) sum += static_cast<double>(a[i * inner + k]) * (transposed ? b[j * inner + k] : b[k * columns + j]);
              expected[i * columns + j] = static_cast<float>(sum);
            }
          }
          report.near(out, expected, "matmul " + std::to_string(rows) + " x " + std::to_string(inner) + " x " + std::to_string(columns), 2e-5f);
          ops::matmul(context, Compute::int8, true, shape, a.data(), {b.data()}, out.data());
          report.near(out, expected, "coarse matmul " + std::to_string(rows) + " x " + std::to_string(inner) + " x " + std::to_string(columns), 0.2f);
        }
      }
    }
  }
}

}  // namespace kvsift::tests

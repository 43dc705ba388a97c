#include "kvsift/reduce.h"

#include <algorithm>
#include <limits>

#include "check.h"

namespace kvsift::tests {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double exact(ReduceOp op, const float* x, std::size_t size, std::size_t stride) {
  double sum = 0;
  double most = -infinity;
  double least = infinity;
  for (std::size_t i = 0; i < size; i++) {
    const auto v = static_cast<double>(x[i * stride]);
    sum += v;
    if (!(v <= most)) most = std::isnan(most) ? most : v;
    if (!(v >= least)) least = std::isnan(least) ? least : v;
  }
  if (op == ReduceOp::sum) return sum;
  if (op == ReduceOp::max) return most;
  if (op == ReduceOp::min) return least;
  const double mean = sum / static_cast<double>(size);
  if (op == ReduceOp::mean) return mean;
  double squares = 0;
  for (std::size_t i = 0; i < size; i++) squares += (static_cast<double>(x[i * stride]) - mean) * (static_cast<double>(x[i * stride]) - mean);
  return squares / static_cast<double>(size - 1);
}

/** How many of `got` are neither next to what is expected nor, like it, no number. */
std::size_t wrong(ReduceOp op, const std::vector<float>& got, const float* x, std::size_t step, std::size_t size, std::size_t stride) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < got.size(); i++) {
    const auto want = static_cast<float>(exact(op, x + i * step, size, stride));
    if (got[i] != want && !(std::isnan(got[i]) && std::isnan(want)) && !(std::abs(got[i] - want) <= 2e-7F * std::abs(want))) count++;
  }
  return count;
}

}  // namespace

void test_reduce() {
  Context context(1);
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    for (int index = 0; index <= static_cast<int>(ReduceOp::variance); index++) {
      const auto op = static_cast<ReduceOp>(index);
      for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{131}}) {
        for (const std::size_t others : {std::size_t{1}, std::size_t{5}, std::size_t{16}, std::size_t{64}, std::size_t{91}}) {
          std::vector<float> x = random_values(size * others + 3, 5, 1000);
          if (size == 131) {
            x[70] = std::numeric_limits<float>::quiet_NaN();
            x[90] = std::numeric_limits<float>::infinity();
          }
          const std::string what = " op " + std::to_string(index) + " of " + std::to_string(size) + ", " + std::to_string(others) + " times " + isa_name(isa);
          std::vector<float> out(others);
          reduce_rows(context, op, x.data(), others, size, out.data());
          check(wrong(op, out, x.data(), size, size, 1) == 0, "rows" + what);
          std::vector<float> alone(others);
          for (std::size_t row = 0; row < others; row++) reduce_rows(context, op, x.data() + row * size, 1, size, &alone[row]);
          check(std::equal(out.begin(), out.end(), alone.begin(), [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }), "rows alone" + what);
          reduce_columns(context, op, x.data(), size, others, others, out.data());
          check(wrong(op, out, x.data(), 1, size, others) == 0, "columns" + what);
        }
      }
    }
  }
}

}  // namespace kvsift::tests

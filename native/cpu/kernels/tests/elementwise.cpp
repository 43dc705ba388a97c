#include "kvsift/elementwise.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "check.h"

namespace kvsift::tests {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/** Ends of what floats can be, and bits of any kind. */
std::vector<float> floats_of_all_kinds(std::size_t count) {
  std::vector<float> out{0.0F, -0.0F, 1.0F, -1.0F, infinity, -infinity, nan, 1e-45F, -1e-45F, 1.17549435e-38F, 3.4028235e38F, -3.4028235e38F, 88.7228F, 88.7229F,
                         -103.97F, -103.98F, 0.70710677F, 0.70710683F, 1.4142135F, 16777217.0F, -2.5F};
  std::mt19937 generator(3);
  while (out.size() < count) out.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(generator())));
  return out;
}

double exact(UnaryOp op, double x) {
  switch (op) {
    case UnaryOp::exp: return std::exp(x);
    case UnaryOp::log: return std::log(x);
    case UnaryOp::sqrt: return std::sqrt(x);
    case UnaryOp::abs: return std::abs(x);
    case UnaryOp::neg: return -x;
    case UnaryOp::square: return x * x;
    case UnaryOp::reciprocal: return 1 / x;
    case UnaryOp::floor: return std::floor(x);
    case UnaryOp::isfinite: return std::isfinite(x) ? 1 : 0;
  }
  return 0;
}

double exact(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::add: return a + b;
    case BinaryOp::sub: return a - b;
    case BinaryOp::mul: return a * b;
    case BinaryOp::div: return a / b;
    case BinaryOp::max: return std::isnan(a) || std::isnan(b) ? static_cast<double>(nan) : std::max(a, b);
    case BinaryOp::min: return std::isnan(a) || std::isnan(b) ? static_cast<double>(nan) : std::min(a, b);
    case BinaryOp::less: return a < b ? 1 : 0;
  }
  return 0;
}

/** Equal, both no number, or neighbours. */
bool close(float got, double want) {
  const auto rounded = static_cast<float>(want);
  if (std::isnan(got) || std::isnan(rounded)) return std::isnan(got) && std::isnan(rounded);
  return got == rounded || std::nextafter(got, rounded) == rounded;
}

}  // namespace

void test_elementwise() {
  Context context(1);
  const std::vector<float> x = floats_of_all_kinds(5003);
  std::vector<float> y = x;
  std::rotate(y.begin(), y.begin() + 7, y.end());
  std::vector<float> out(x.size());
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    for (int index = 0; index <= static_cast<int>(UnaryOp::isfinite); index++) {
      const auto op = static_cast<UnaryOp>(index);
      map_row(context, op, x.data(), x.size(), out.data());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < x.size(); i++) wrong += close(out[i], exact(op, static_cast<double>(x[i]))) ? 0 : 1;
      check(wrong == 0, "map " + std::to_string(index) + ' ' + isa_name(isa) + ": " + std::to_string(wrong) + " wrong");
    }
    for (int index = 0; index <= static_cast<int>(BinaryOp::less); index++) {
      const auto op = static_cast<BinaryOp>(index);
      for (const auto& [a_step, b_step] : {std::pair<std::size_t, std::size_t>{1, 1}, {1, 0}, {0, 1}, {0, 0}}) {
        zip_row(context, op, x.data(), a_step, y.data(), b_step, x.size(), out.data());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); i++) {
          wrong += close(out[i], exact(op, static_cast<double>(x[i * a_step]), static_cast<double>(y[i * b_step]))) ? 0 : 1;
        }
        check(wrong == 0, "zip " + std::to_string(index) + ' ' + isa_name(isa) + ": " + std::to_string(wrong) + " wrong");
      }
    }
  }
}

}  // namespace kvsift::tests

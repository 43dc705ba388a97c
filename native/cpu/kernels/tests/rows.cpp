#include "kvsift/rows.h"

#include "check.h"

namespace kvsift::tests {

namespace {

void norms(Context& context, const std::string& isa) {
  for (const std::size_t columns : {1, 7, 64, 576, 577}) {
    const std::size_t rows = 5;
    std::vector<float> x = random_values(rows * columns, 1);
    const std::vector<float> weight = random_values(columns, 2);
    std::vector<double> want;
    for (std::size_t row = 0; row < rows; row++) {
      double squares = 0;
      for (std::size_t c = 0; c < columns; c++) squares += static_cast<double>(x[row * columns + c]) * x[row * columns + c];
      const double factor = 1 / std::sqrt(squares / static_cast<double>(columns) + 1e-5);
      for (std::size_t c = 0; c < columns; c++) want.push_back(x[row * columns + c] * factor * (weight[c] + 1.0));
    }
    rms_norm(context, x.data(), rows, columns, weight.data(), 1e-5F, 1, x.data());
    check_close(x, want, 1e-6, 1e-6, "rms_norm " + std::to_string(columns) + " " + isa);
  }
}

void activations(Context& context, const std::string& isa) {
  for (const std::size_t half : {1, 33, 128}) {
    std::vector<float> x = random_values(3 * 2 * half, 3);
    x[0] = -200;
    x.back() = 2;
    const auto run = [&](Activation kind, const char* name, auto act) {
      std::vector<double> want;
      for (std::size_t row = 0; row < 3; row++) {
        for (std::size_t c = 0; c < half; c++) want.push_back(act(static_cast<double>(x[row * 2 * half + c])) * x[row * 2 * half + half + c]);
      }
      std::vector<float> out(3 * half);
      gated(context, x.data(), 3, half, kind, out.data());
      check_close(out, want, 2e-6, 3e-6, std::string(name) + " " + std::to_string(half) + " " + isa);
    };
    run(Activation::silu, "silu", [](double v) { return v / (1 + std::exp(-v)); });
    run(Activation::gelu_tanh, "gelu_tanh", [](double v) { return 0.5 * v * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))); });
    run(Activation::gelu, "gelu", [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); });
    std::vector<double> want;
    for (const float value : x) want.push_back(30 * std::tanh(static_cast<double>(value) / 30));
    std::vector<float> out(x.size());
    softcap(context, x.data(), x.size(), 30, out.data());
    check_close(out, want, 1e-5, 0, "softcap " + isa);
  }
}

void rotations(Context& context, const std::string& isa) {
  struct Shape {
    std::size_t heads, dim, rotary;
  };
  for (const auto& [heads, dim, rotary] : {Shape{3, 64, 64}, Shape{1, 20, 12}, Shape{2, 128, 96}}) {
    std::vector<float> inverse;
    for (std::size_t c = 0; c < rotary / 2; c++) inverse.push_back(static_cast<float>(std::pow(100000.0, -2.0 * static_cast<double>(c) / static_cast<double>(rotary))));
    const std::vector<std::int32_t> positions = {0, 1, 77, 8191, 131071, 1000003};
    std::vector<float> x = random_values(positions.size() * heads * dim, 4, 1);
    std::vector<double> want(x.begin(), x.end());
    for (std::size_t row = 0; row < positions.size(); row++) {
      for (std::size_t h = 0; h < heads; h++) {
        double* y = &want[(row * heads + h) * dim];
        for (std::size_t c = 0; c < rotary / 2; c++) {
          const double angle = static_cast<double>(positions[row]) * static_cast<double>(inverse[c]);
          const double a = y[c];
          const double b = y[c + rotary / 2];
          y[c] = 1.25 * (a * std::cos(angle) - b * std::sin(angle));
          y[c + rotary / 2] = 1.25 * (b * std::cos(angle) + a * std::sin(angle));
        }
      }
    }
    std::vector<float> out(x.size());
    rope(context, x.data(), positions.size(), heads, dim, positions.data(), inverse.data(), rotary, 1.25F, out.data());
    check_close(out, want, 2e-6, 0, "rope " + std::to_string(dim) + " " + isa);
    rope(context, x.data(), positions.size(), heads, dim, positions.data(), inverse.data(), rotary, 1.25F, x.data());
    check(x == out, "rope in place " + isa);
  }
}

}  // namespace

void test_rows() {
  Context context(2);
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    norms(context, isa_name(isa));
    activations(context, isa_name(isa));
    rotations(context, isa_name(isa));
  }
  const std::vector<float> x = {1, 2, 3, 4, 5, 6};
  std::vector<float> a(2);
  std::vector<float> b(4);
  const std::size_t widths[] = {1, 2};
  float* const out[] = {a.data(), b.data()};
  split_columns(context, x.data(), 2, widths, out);
  check(a == std::vector<float>({1, 4}) && b == std::vector<float>({2, 3, 5, 6}), "split_columns");
}

}  // namespace kvsift::tests

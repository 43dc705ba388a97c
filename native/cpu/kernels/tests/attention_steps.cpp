#include <cmath>
#include <functional>
#include <limits>

#include "attention_cases.h"
#include "kernel_table.h"

namespace kvsift::tests {

namespace {

constexpr std::size_t dim = 64;
constexpr std::size_t group = 3;

/** Weights of scores in steps against 2^x: each within 0.75 %, the mean square and the mean far below. */
void check_weights(const KernelTable& kernels, const std::string& isa) {
  constexpr std::size_t rows = 16;
  constexpr std::size_t width = 96;
  const std::vector<float> x = random_values(rows * width, 3, 20);
  std::vector<float> scores(x.size());
  for (std::size_t i = 0; i < x.size(); i++) scores[i] = x[i] * score_steps;
  const std::vector<std::int32_t> first(rows, 0);
  const std::vector<std::int32_t> last(rows, width);
  std::vector<float> top(rows, -1e30F);
  std::vector<float> sum(rows, 0);
  std::vector<std::uint16_t> halves(x.size());
  kernels.attention.softmax_in_steps({scores.data(), width, rows, width, 0, width, first.data(), last.data()}, {top.data(), sum.data(), nullptr, dim},
                                     halves.data());
  double worst = 0;
  double mean = 0;
  double square = 0;
  double worst_sum = 0;
  for (std::size_t row = 0; row < rows; row++) {
    double total = 0;
    for (std::size_t c = 0; c < width; c++) {
      const double error = bf16_to_f32(halves[row * width + c]) / std::exp2(static_cast<double>(x[row * width + c]) - top[row]) - 1;
      worst = std::max(worst, std::abs(error));
      mean += error / static_cast<double>(x.size());
      square += error * error / static_cast<double>(x.size());
      total += bf16_to_f32(halves[row * width + c]);
    }
    worst_sum = std::max(worst_sum, std::abs(sum[row] / total - 1));
    check(top[row] == *std::max_element(&x[row * width], &x[row * width] + width), "the top of a first tile is its largest logit " + isa);
  }
  check(worst < 0.0075 && std::sqrt(square) < 0.0025 && std::abs(mean) < 0.0005, "weights in steps are as near as they say " + isa);
  check(worst_sum < 1e-5, "their sum is that of the rounded ones " + isa);
}

/** Attention to keys that `change` has gone over, [slot][dim] of the only head, against float64; rows from `sound` on must come out as no number. */
void check_keys(const std::string& what, float query_size, std::size_t sound, const std::function<void(std::vector<float>&)>& change) {
  constexpr std::size_t held = 420;
  constexpr std::size_t rows = 400;
  Context context(2);
  Cache cache(context, DType::f32, dim, {held}, Layout::dense, 11);
  change(cache.key_values[0]);
  std::copy(cache.key_values[0].begin(), cache.key_values[0].end(), reinterpret_cast<float*>(cache.keys.data()) + cache.starts[0] * dim);
  const std::vector<float> q = random_values(rows * group * dim, 5, query_size);
  const AttentionShape shape{group, 0.125F, 0, 0};
  std::vector<double> want(q.size());
  std::vector<double> want_lse;
  for (std::size_t row = 0; row < rows * group; row++) {
    const auto logits = logits_of(cache, 0, &q[row * dim], shape, static_cast<std::int64_t>(held - rows + row / group + 1), 0);
    want_lse.push_back(log_sum_of(logits));
    for (std::size_t slot = 0; slot < logits.size(); slot++) {
      for (std::size_t d = 0; d < dim; d++) want[row * dim + d] += std::exp(logits[slot] - want_lse.back()) * cache.value_values[0][slot * dim + d];
    }
  }
  want.resize(sound * group * dim);
  want_lse.resize(sound * group);
  for (const Isa isa : supported_sets()) {
    if (kernel_table(isa).attention.softmax_in_steps == nullptr) continue;
    set_isa(context, isa);
    std::vector<float> out(q.size());
    std::vector<float> lse(rows * group);
    const KvSegment segment{cache.view, rows};
    attention(context, Compute::int8, std::span(&segment, 1), q.data(), shape, nullptr, out.data(), lse.data());
    const bool spoilt = std::all_of(out.begin() + static_cast<std::ptrdiff_t>(want.size()), out.end(), [](float x) { return std::isnan(x); });
    out.resize(want.size());
    lse.resize(want_lse.size());
    check_close(out, want, 0.08, 0.01, what + " " + isa_name(isa));
    check_close(lse, want_lse, 0.08, 0.01, what + " lse " + isa_name(isa));
    check(spoilt, what + ": what is no number comes out as none " + isa_name(isa));
  }
}

}  // namespace

void test_attention_steps() {
  for (const Isa isa : supported_sets()) {
    const KernelTable& kernels = kernel_table(isa);
    if (kernels.attention.softmax_in_steps != nullptr) check_weights(kernels, isa_name(isa));
  }
  constexpr std::size_t rows = 400;
  check_keys("keys at random", 2, rows, [](std::vector<float>&) {});
  // Logits by 500 and more: the top has to move. One channel alone, so that rounding does not cancel.
  check_keys("a key far above the first ones", 2, rows, [](std::vector<float>& keys) {
    for (std::size_t c = 0; c < dim; c++) keys[250 * dim + c] = c == 7 ? 2048 : 0;
  });
  check_keys("a first key far above all others", 2, rows, [](std::vector<float>& keys) {
    for (std::size_t c = 0; c < dim; c++) keys[c] *= 30;
  });
  check_keys("a key that is no number", 2, 280, [](std::vector<float>& keys) { keys[300 * dim + 5] = std::numeric_limits<float>::quiet_NaN(); });
  // More than whole numbers of 32 bits hold, in steps: then nearly every row has one entry left, and roundings to bf16 must not choose another.
  check_keys("a huge key", 2, rows, [](std::vector<float>& keys) {
    for (std::size_t c = 0; c < dim; c++) keys[150 * dim + c] = c == 7 ? 1e9F : 0;
  });
}

}  // namespace kvsift::tests

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

#include "check.h"

namespace KVSIFT_TEST_SPACE {

KVSIFT_TEST(rms_norms, "rms_norm: odd sizes, weight offset, in place") {
  for (const std::size_t columns : {std::size_t{1}, std::size_t{37}, std::size_t{701}, std::size_t{1540}}) {
    Numbers numbers(1);
    const auto x = numbers.normal(3 * columns, 20);
    const auto weight = numbers.normal(columns);
    std::vector<double> want;
    for (std::size_t row = 0; row < 3; row++) {
      double squares = 0;
      for (std::size_t c = 0; c < columns; c++) squares += static_cast<double>(x[row * columns + c]) * x[row * columns + c];
      for (std::size_t c = 0; c < columns; c++) {
        want.push_back(x[row * columns + c] / std::sqrt(squares / static_cast<double>(columns) + 1e-5) * (weight[c] + 1.0));
      }
    }
    Buffer<float> device(x);
    Buffer<float> device_weight(weight);
    good(kvsift_cuda_rms_norm(context(), nullptr, device.get(), 3, columns, device_weight.get(), 1e-5F, 1, device.get()));
    expect_near(device.read(), want, 1e-5, 1e-5, "norm");
  }
}

KVSIFT_TEST(gates, "gated: silu, both gelus, rows on and off boundaries of 16 bytes; softcap") {
  for (const std::size_t half : {std::size_t{101}, std::size_t{1028}}) {
    const auto x = Numbers(2).normal(3 * 2 * half, 4);
    Buffer<float> device(x);
    Buffer<float> out(3 * half);
    for (const auto kind : {KVSIFT_CUDA_SILU, KVSIFT_CUDA_GELU_TANH, KVSIFT_CUDA_GELU}) {
      std::vector<double> want;
      for (std::size_t row = 0; row < 3; row++) {
        for (std::size_t c = 0; c < half; c++) {
          const double a = x[row * 2 * half + c];
          const double act = kind == KVSIFT_CUDA_SILU        ? a / (1 + std::exp(-a))
                             : kind == KVSIFT_CUDA_GELU_TANH ? 0.5 * a * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)))
                                                             : 0.5 * a * (1 + std::erf(a / std::sqrt(2.0)));
          want.push_back(act * x[row * 2 * half + half + c]);
        }
      }
      good(kvsift_cuda_gated(context(), nullptr, device.get(), 3, half, kind, out.get()));
      expect_near(out.read(), want, 3e-6, 1e-5, "gated");
    }
  }
  const auto x = Numbers(2).normal(3 * 2 * 101, 4);
  Buffer<float> device(x);
  std::vector<double> want;
  for (const float value : x) want.push_back(3 * std::tanh(value / 3.0));
  good(kvsift_cuda_softcap(context(), nullptr, device.get(), x.size(), 3, device.get()));
  expect_near(device.read(), want, 1e-6, 1e-6, "softcap");
}

KVSIFT_TEST(ropes, "rope: whole and partial rotary, in place and not, long positions") {
  for (const std::size_t rotary : {std::size_t{0}, std::size_t{8}, std::size_t{24}}) {
    const std::size_t heads = 3;
    const std::size_t dim = 24;
    const std::vector<std::int32_t> positions{0, 1, 131071, 1000003};
    Numbers numbers(3);
    const auto x = numbers.normal(positions.size() * heads * dim);
    std::vector<float> frequencies;
    for (std::size_t i = 0; i < rotary / 2; i++) frequencies.push_back(static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary))));
    std::vector<double> want(x.begin(), x.end());
    for (std::size_t row = 0; row < positions.size(); row++) {
      for (std::size_t head = 0; head < heads; head++) {
        for (std::size_t i = 0; i < rotary / 2; i++) {
          const double angle = static_cast<double>(positions[row]) * frequencies[i];
          const std::size_t at = (row * heads + head) * dim + i;
          want[at] = 1.25 * (x[at] * std::cos(angle) - x[at + rotary / 2] * std::sin(angle));
          want[at + rotary / 2] = 1.25 * (x[at + rotary / 2] * std::cos(angle) + x[at] * std::sin(angle));
        }
      }
    }
    Buffer<float> device(x);
    Buffer<float> out(x.size());
    Buffer<std::int32_t> device_positions(positions);
    Buffer<float> device_frequencies(frequencies);
    for (float* to : {out.get(), device.get()}) {
      good(kvsift_cuda_rope(context(), nullptr, device.get(), positions.size(), heads, dim, device_positions.get(), device_frequencies.get(), rotary, 1.25F, to));
    }
    expect_near(out.read(), want, 3e-6, 1e-6, "rope");
    expect_near(device.read(), want, 3e-6, 1e-6, "rope in place");
  }
}

KVSIFT_TEST(splits, "split_columns: widths on and off boundaries of 16 bytes, empty ones, more than a launch takes, no rows") {
  for (const auto& widths : {std::vector<std::size_t>{12, 4, 8}, {5, 0, 3}, {7}, {0, 300, 4, 1024}, {4, 0}, {1, 2, 0, 5, 3, 7}, {8, 4, 4, 12, 16}}) {
    for (const std::size_t rows : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
      const std::size_t columns = std::accumulate(widths.begin(), widths.end(), std::size_t{0});
      const auto x = Numbers(4).normal(rows * columns);
      Buffer<float> device(x);
      std::vector<std::unique_ptr<Buffer<float>>> parts;
      std::vector<float*> out;
      for (const std::size_t width : widths) {
        parts.push_back(std::make_unique<Buffer<float>>(rows * width));
        out.push_back(parts.back()->get());
      }
      good(kvsift_cuda_split_columns(context(), nullptr, device.get(), rows, widths.size(), widths.data(), out.data()));
      std::size_t first = 0;
      for (std::size_t i = 0; i < widths.size(); i++) {
        std::vector<float> want;
        for (std::size_t row = 0; row < rows; row++) {
          for (std::size_t c = 0; c < widths[i]; c++) want.push_back(x[row * columns + first + c]);
        }
        expect_same(parts[i]->read(), want, "part");
        first += widths[i];
      }
    }
  }
}

namespace {

/** The contract, by sorting. */
std::pair<std::int32_t, double> sample_reference(const float* x, std::size_t count, const kvsift_cuda_sampling_rule& rule) {
  const auto value = [&](std::size_t id) { return std::isnan(x[id]) ? -std::numeric_limits<double>::infinity() : static_cast<double>(x[id]); };
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return value(a) > value(b); });
  double sum = 0;
  for (std::size_t id = 0; id < count; id++) sum += std::exp(value(id) - value(order[0]));
  const auto result = [&](std::size_t id) { return std::pair(static_cast<std::int32_t>(id), value(id) - value(order[0]) - std::log(sum)); };
  if (rule.temperature == 0) return result(order[0]);
  if (rule.top_k > 0) order.resize(std::min<std::size_t>(count, static_cast<std::size_t>(rule.top_k)));
  std::vector<double> weights;
  double total = 0;
  for (const std::size_t id : order) {
    weights.push_back(std::exp((value(id) - value(order[0])) / rule.temperature));
    total += weights.back();
  }
  std::size_t kept = 0;
  double mass = 0;
  for (; kept < weights.size(); kept++) {
    if (kept > 0 && (mass / total >= rule.top_p || weights[kept] < rule.min_p)) break;
    mass += weights[kept];
  }
  double rest = rule.uniform * mass;
  for (std::size_t at = 0; at + 1 < kept; at++) {
    rest -= weights[at];
    if (rest < 0) return result(order[at]);
  }
  return result(order[kept - 1]);
}

}  // namespace

KVSIFT_TEST(sampling, "sample: greedy, temperature, top-k, top-p and min-p, with ties and NaN, against sorting") {
  const std::size_t vocabulary = 1531;
  Numbers numbers(9);
  std::vector<kvsift_cuda_sampling_rule> rules{{0, 0, 1, 0, 0.5}, {0, 5, 0.2F, 0.5F, 0.9}};
  for (const double uniform : {0.003, 0.31, 0.77, 0.9993}) {
    rules.push_back({1, 0, 1, 0, uniform});
    rules.push_back({0.7F, 40, 1, 0, uniform});
    rules.push_back({1.3F, 0, 0.83F, 0, uniform});
    rules.push_back({1, 0, 1, 0.07F, uniform});
    rules.push_back({2, 200, 0.6F, 0.02F, uniform});
    rules.push_back({1, 1, 1, 0, uniform});
    rules.push_back({1, 0, 0, 1, uniform});
  }
  auto logits = numbers.normal(rules.size() * vocabulary, 3);
  for (std::size_t i = 0; i < logits.size(); i++) {
    if (i % 3 == 0) logits[i] = std::round(logits[i]);
    if (i % 97 == 0) logits[i] = NAN;
    if (i % 89 == 0) logits[i] = -std::numeric_limits<float>::infinity();
  }
  std::vector<std::int32_t> want;
  std::vector<double> log_probs;
  for (std::size_t row = 0; row < rules.size(); row++) {
    const auto [id, log_prob] = sample_reference(&logits[row * vocabulary], vocabulary, rules[row]);
    want.push_back(id);
    log_probs.push_back(log_prob);
  }
  Buffer<float> device(logits);
  Buffer<kvsift_cuda_sampling_rule> device_rules(rules);
  Buffer<std::int32_t> ids(rules.size());
  Buffer<float> out(rules.size());
  good(kvsift_cuda_sample(context(), nullptr, device.get(), rules.size(), vocabulary, device_rules.get(), ids.get(), out.get()));
  expect_same(ids.read(), want, "tokens");
  expect_near(out.read(), log_probs, 1e-6, 1e-6, "log probabilities");
}

}  // namespace KVSIFT_TEST_SPACE

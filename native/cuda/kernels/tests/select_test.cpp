#include <algorithm>
#include <limits>
#include <numeric>

#include "check.h"

namespace KVSIFT_TEST_SPACE {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

float clean(float x) { return std::isnan(x) ? -infinity : x; }

/** Scores with ties, zeros of both signs and values that are not numbers. */
std::vector<float> awkward(std::size_t count, unsigned seed) {
  Numbers numbers(seed);
  std::vector<float> out = numbers.normal(count);
  for (float& x : out) {
    const int kind = numbers.integer(0, 20);
    if (kind < 9) x = std::round(x * 2) / 2;
    if (kind == 10) x = NAN;
    if (kind == 11) x = infinity;
    if (kind == 12) x = -infinity;
    if (kind == 13) x = -0.0F;
  }
  return out;
}

std::vector<std::int32_t> reference_top(const std::vector<float>& scores, std::size_t length, const std::vector<std::int32_t>& counts, std::size_t first,
                                        std::size_t last, const std::vector<float>& protect) {
  std::vector<std::int32_t> out;
  for (std::size_t head = 0; head < counts.size(); head++) {
    std::vector<std::int32_t> order(length);
    std::iota(order.begin(), order.end(), 0);
    const auto safe = [&](std::int32_t i) {
      const auto at = static_cast<std::size_t>(i);
      return at < first || at >= length - last || (!protect.empty() && protect[head * length + at] != 0);
    };
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      if (safe(a) != safe(b)) return safe(a);
      if (safe(a)) return a < b;
      const float x = clean(scores[head * length + static_cast<std::size_t>(a)]);
      const float y = clean(scores[head * length + static_cast<std::size_t>(b)]);
      return x != y ? x > y : a < b;
    });
    order.resize(static_cast<std::size_t>(counts[head]));
    std::sort(order.begin(), order.end());
    out.insert(out.end(), order.begin(), order.end());
  }
  return out;
}

void top_case(std::size_t length, const std::vector<std::int32_t>& counts, std::size_t first, std::size_t last, bool protect, bool ragged, unsigned seed) {
  const std::size_t heads = counts.size();
  const auto scores = awkward(heads * length, seed);
  std::vector<float> shield;
  if (protect) {
    shield.assign(heads * length, 0);
    for (std::size_t head = 0; head < heads; head++) shield[head * length + length / 2] = 1;
  }
  Buffer<float> device_scores(scores);
  Buffer<float> device_shield(shield);
  Buffer<std::int32_t> device_counts(counts);
  kvsift_cuda_top_arguments a{};
  a.scores = device_scores.get();
  a.heads = heads;
  a.length = length;
  a.counts = ragged ? device_counts.get() : nullptr;
  a.keep = ragged ? 0 : static_cast<std::size_t>(counts[0]);
  a.total = static_cast<std::size_t>(std::accumulate(counts.begin(), counts.end(), 0));
  a.max = static_cast<std::size_t>(*std::max_element(counts.begin(), counts.end()));
  a.protect_first = first;
  a.protect_last = last;
  a.protect = protect ? device_shield.get() : nullptr;
  Buffer<std::int32_t> indices(a.total);
  Buffer<std::int32_t> offsets(heads + 1);
  good(kvsift_cuda_top(context(), nullptr, &a, indices.get(), offsets.get()));
  std::vector<std::int32_t> want_offsets{0};
  for (const std::int32_t count : counts) want_offsets.push_back(want_offsets.back() + count);
  expect_same(offsets.read(), want_offsets, "offsets");
  expect_same(indices.read(), reference_top(scores, length, counts, first, last, shield), "indices");
  expect(faults() == 0, "a fault was set");
}

}  // namespace

KVSIFT_TEST(top_equal, "top: canonical order with ties, zeros of both signs, NaN and infinities") {
  for (unsigned seed = 0; seed < 6; seed++) top_case(977, {101, 101, 101}, 0, 0, false, false, seed);
  top_case(1, {1}, 0, 0, false, false, 9);
  top_case(513, {512}, 0, 0, false, false, 10);
  top_case(600, {600, 600}, 0, 0, false, false, 11);
}

KVSIFT_TEST(top_ragged, "top: counts of each head, none and all included, with protected entries") {
  top_case(301, {0, 301, 7, 150}, 0, 0, false, true, 1);
  top_case(301, {20, 301, 12, 150}, 4, 7, true, true, 2);
}

KVSIFT_TEST(top_long, "top: heads that many blocks select from, with ties across their borders, none and all included, protected entries") {
  top_case(9001, {1800, 1800}, 0, 0, false, false, 4);
  top_case(8193, {0, 8193, 7, 5000}, 0, 0, false, true, 5);
  top_case(8705, {40, 8705, 4000}, 4, 7, true, true, 6);
}

KVSIFT_TEST(top_faults, "top: counts that do not fit set a fault and write nothing outside") {
  Buffer<float> scores(awkward(2 * 40, 3));
  Buffer<std::int32_t> counts(std::vector<std::int32_t>{50, -3});
  kvsift_cuda_top_arguments a{};
  a.scores = scores.get();
  a.heads = 2;
  a.length = 40;
  a.counts = counts.get();
  a.total = 30;
  a.max = 30;
  Buffer<std::int32_t> indices(30);
  Buffer<std::int32_t> offsets(3);
  good(kvsift_cuda_top(context(), nullptr, &a, indices.get(), offsets.get()));
  indices.read();
  expect((faults() & KVSIFT_CUDA_FAULT_TOP_COUNTS) != 0, "no fault");
  Buffer<std::int32_t> small(std::vector<std::int32_t>{2, 28});
  a.counts = small.get();
  a.protect_first = 3;
  good(kvsift_cuda_top(context(), nullptr, &a, indices.get(), offsets.get()));
  indices.read();
  expect(faults() == KVSIFT_CUDA_FAULT_TOP_PROTECTED, "no fault for protected entries");
}

KVSIFT_TEST(shares, "top_shares: the best of all heads by score, head, index") {
  for (unsigned seed = 0; seed < 4; seed++) {
    const std::size_t heads = 5;
    // The second one is what many blocks count.
    const std::size_t length = seed % 2 == 0 ? 211 : 2003;
    const auto scores = awkward(heads * length, seed);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return clean(scores[a]) > clean(scores[b]); });
    for (const std::size_t total : {std::size_t{0}, std::size_t{1}, std::size_t{400}, scores.size()}) {
      std::vector<std::int32_t> want(heads);
      for (std::size_t i = 0; i < total; i++) want[order[i] / length]++;
      Buffer<float> device(scores);
      Buffer<std::int32_t> out(heads);
      good(kvsift_cuda_top_shares(context(), nullptr, device.get(), heads, length, total, out.get()));
      expect_same(out.read(), want, "shares of " + std::to_string(total));
    }
  }
}

KVSIFT_TEST(rounding, "round_shares: largest remainder, cap, total; NaN counts as nothing") {
  struct Case {
    std::vector<float> shares;
    std::size_t total, cap;
    std::vector<std::int32_t> want;
  };
  const std::vector<Case> cases{
      {{1.5F, 2.5F, 3.0F}, 7, 10, {2, 2, 3}}, {{0.2F, 0.3F, 0.5F}, 1, 5, {0, 0, 1}},     {{9, 1, 1}, 11, 5, {5, 3, 3}},
      {{NAN, -4, 2}, 3, 3, {1, 0, 2}},        {{4.9F, 4.9F, 0.1F}, 5, 10, {3, 2, 0}}, {{1, 1, 1, 1}, 4, 1, {1, 1, 1, 1}}};
  for (const Case& test : cases) {
    Buffer<float> shares(test.shares);
    Buffer<std::int32_t> out(test.shares.size());
    good(kvsift_cuda_round_shares(context(), nullptr, shares.get(), test.shares.size(), test.total, test.cap, out.get()));
    const auto got = out.read();
    expect(static_cast<std::size_t>(std::accumulate(got.begin(), got.end(), 0)) == test.total, "the parts do not sum to the total");
    expect_same(got, test.want, "parts");
  }
}

KVSIFT_TEST(pooling, "pool: average and maximum, kernels wider than the row") {
  const std::size_t rows = 3;
  const std::size_t columns = 271;
  const auto x = Numbers(8).normal(rows * columns);
  for (const std::size_t kernel : {std::size_t{1}, std::size_t{7}, std::size_t{601}}) {
    const auto reach = static_cast<std::int64_t>(kernel / 2);
    std::vector<double> average(x.size());
    std::vector<double> maximum(x.size(), -std::numeric_limits<double>::infinity());
    for (std::size_t row = 0; row < rows; row++) {
      for (std::int64_t c = 0; c < static_cast<std::int64_t>(columns); c++) {
        const std::size_t at = row * columns + static_cast<std::size_t>(c);
        for (std::int64_t i = std::max<std::int64_t>(0, c - reach); i <= std::min<std::int64_t>(static_cast<std::int64_t>(columns) - 1, c + reach); i++) {
          average[at] += x[row * columns + static_cast<std::size_t>(i)] / static_cast<double>(kernel);
          maximum[at] = std::max(maximum[at], static_cast<double>(x[row * columns + static_cast<std::size_t>(i)]));
        }
      }
    }
    Buffer<float> device(x);
    Buffer<float> out(x.size());
    good(kvsift_cuda_pool(context(), nullptr, KVSIFT_CUDA_POOL_AVERAGE, device.get(), rows, columns, kernel, out.get()));
    expect_near(out.read(), average, 1e-6, 1e-6, "averages");
    good(kvsift_cuda_pool(context(), nullptr, KVSIFT_CUDA_POOL_MAX, device.get(), rows, columns, kernel, out.get()));
    expect_near(out.read(), maximum, 0, 0, "maxima");
  }
}

}  // namespace KVSIFT_TEST_SPACE

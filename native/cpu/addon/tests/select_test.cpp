#include <algorithm>
#include <limits>
#include <numeric>

#include "ops/random.h"
#include "ops/select.h"
#include "runtime/failure.h"
#include "tests/test.h"

namespace kvsift::tests {

namespace {

/** The slow way: sort everything. */
std::vector<std::int32_t> sorted_top(const std::vector<float>& scores, std::size_t keep, std::size_t first, std::size_t last) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const auto safe = [&](std::int32_t i) { return static_cast<std::size_t>(i) < first || static_cast<std::size_t>(i) >= scores.size() - last; };
  const auto value = [&](std::int32_t i) { return std::isnan(scores[i]) ? -std::numeric_limits<float>::infinity() : scores[i]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    if (safe(a) != safe(b)) return safe(a);
    return !safe(a) && value(a) > value(b);
  });
  order.resize(keep);
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace

void test_select(Report& report, Context& context) {
  const std::size_t length = 200;
  std::vector<float> scores = noise(3 * length);
  for (float& score : scores) score = std::round(score * 8);
  scores[7] = std::numeric_limits<float>::quiet_NaN();
  scores[9] = -0.0f;
  for (const std::size_t keep : {20, 61, 199, 200}) {
    ops::TopArguments arguments;
    arguments.scores = scores.data();
    arguments.heads = 3;
    arguments.length = length;
    arguments.keep = keep;
    arguments.max = keep;
    arguments.total = 3 * keep;
    arguments.protect_first = 4;
    arguments.protect_last = 16;
    std::vector<std::int32_t> indices(3 * keep);
    std::vector<std::int32_t> offsets(4);
    ops::top(context, arguments, indices.data(), offsets.data());
    bool same = true;
    for (std::size_t head = 0; head < 3; head++) {
      const std::vector<float> own(scores.begin() + head * length, scores.begin() + (head + 1) * length);
      const auto expected = sorted_top(own, keep, 4, 16);
      same = same && offsets[head] == static_cast<std::int32_t>(head * keep) && std::equal(expected.begin(), expected.end(), indices.begin() + offsets[head]);
    }
    report.check(same, "top keeps what sorting keeps, " + std::to_string(keep));
    arguments.total++;
    bool refused = false;
    try {
      ops::top(context, arguments, indices.data(), offsets.data());
    } catch (const Fault& fault) {
      refused = fault.failure()->code == Code::invalid_argument;
    }
    report.check(refused, "top refuses counts that miss the total");
  }
  std::vector<std::int32_t> shares(3);
  ops::top_shares(context, scores.data(), 3, length, 100, shares.data());
  const auto all = sorted_top(scores, 100, 0, 0);
  std::vector<std::int32_t> expected(3);
  for (const std::int32_t index : all) expected[index / length]++;
  report.check(shares == expected, "top_shares counts the best of all heads");
  const std::vector<float> parts{1.5f, 2.5f, 0.25f, 9, 3.75f};
  std::vector<std::int32_t> rounded(5);
  ops::round_shares(context, parts.data(), 5, 17, 6, rounded.data());
  report.check(std::accumulate(rounded.begin(), rounded.end(), 0) == 17 && rounded[3] == 6 && *std::min_element(rounded.begin(), rounded.end()) >= 0,
               "round_shares sums to the total below the cap");
  std::vector<float> numbers(2 * 1001);
  ops::uniform(context, {1, 2, 3, 4}, 2, 1001, numbers.data());
  report.check(*std::min_element(numbers.begin(), numbers.end()) > 0 && *std::max_element(numbers.begin(), numbers.end()) < 1, "uniform stays inside (0, 1)");
  // Philox4x32-10 of a zero counter and key begins with 6627e8d5 (Random123, kat_vectors).
  ops::uniform(context, {0, 0, 0, 0}, 1, 1, numbers.data());
  report.check(numbers[0] == (static_cast<float>(0x6627e8d5u >> 9) + 0.5f) / 8388608.0f, "uniform is Philox");
}

}  // namespace kvsift::tests

#include "kvsift/sampling.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "check.h"

namespace kvsift::tests {

namespace {

std::int32_t draw(const std::vector<float>& logits, const SamplingRule& rule, float* log_prob = nullptr) {
  Context context(1);
  std::int32_t id = -1;
  float value = 0;
  sample(context, logits.data(), 1, logits.size(), &rule, &id, &value);
  if (log_prob != nullptr) *log_prob = value;
  return id;
}

}  // namespace

void test_sampling() {
  const std::vector<float> logits = {0, std::log(4.0F), std::log(2.0F), std::log(4.0F), NAN};  // 1 : 4 : 2 : 4
  float log_prob = 0;
  check(draw(logits, {0, 0, 1, 0, 0.9}, &log_prob) == 1, "greedy takes the lowest id of the best");
  check(std::abs(log_prob - std::log(4.0F / 11)) < 1e-6F, "log-probability of the unmodified logits");
  const auto at = [&](double uniform, std::int32_t top_k, float top_p, float min_p) { return draw(logits, {1, top_k, top_p, min_p, uniform}); };
  check(at(3.9 / 11, 0, 1, 0) == 1 && at(4.1 / 11, 0, 1, 0) == 3 && at(8.1 / 11, 0, 1, 0) == 2 && at(10.1 / 11, 0, 1, 0) == 0, "distribution in falling order");
  check(at(0.99, 2, 1, 0) == 3 && at(0.49, 2, 1, 0) == 1, "top-k");
  check(at(0.99, 0, 0.7F, 0) == 3, "top-p keeps the smallest set");
  check(at(0.99, 3, 0.79F, 0) == 3 && at(0.99, 3, 0.81F, 0) == 2, "top-p is of what top-k left");
  check(at(0.99, 0, 1, 0.3F) == 2 && at(0.99, 0, 1, 0.6F) == 3, "min-p");
  check(draw(logits, {0.1F, 0, 1, 0, 0.99}) == 3, "a low temperature keeps to the best");

  const float infinity = std::numeric_limits<float>::infinity();
  for (const Isa isa : supported_sets()) {
    Context context(1, isa);
    std::vector<float> x = random_values(517, 7, 3);
    x[3] = NAN;
    x[4] = -infinity;
    x[516] = 40;
    const SamplingRule greedy{0, 0, 1, 0, 0.5};
    std::int32_t id = -1;
    float value = 0;
    sample(context, x.data(), 1, x.size(), &greedy, &id, &value);
    double sum = 0;
    for (const float each : x) sum += std::isnan(each) ? 0 : std::exp(static_cast<double>(each) - 40);
    check(id == 516 && std::abs(value + std::log(sum)) < 1e-6, std::string("log-probability on ") + isa_name(isa));
    const std::vector<float> empty = {NAN, -infinity, NAN};
    sample(context, empty.data(), 1, empty.size(), &greedy, &id, &value);
    check(id == 0 && std::isnan(value), std::string("no number at all on ") + isa_name(isa));
  }

  // Against plain sorting, with a vocabulary that needs several rounds of partial ordering.
  const std::vector<float> many = random_values(5000, 3, 2);
  std::vector<std::int32_t> order(many.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return many[static_cast<std::size_t>(a)] > many[static_cast<std::size_t>(b)]; });
  double total = 0;
  for (const float value : many) total += std::exp(static_cast<double>(value));
  for (const double uniform : {0.001, 0.2, 0.5, 0.9, 0.999}) {
    double rest = uniform * total;
    std::size_t want = 0;
    for (; want + 1 < order.size(); want++) {
      rest -= std::exp(static_cast<double>(many[static_cast<std::size_t>(order[want])]));
      if (rest < 0) break;
    }
    check(draw(many, {1, 0, 1, 0, uniform}) == order[want], "inverse distribution at " + std::to_string(uniform));
  }
}

}  // namespace kvsift::tests

#include "kvsift/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernel_table.h"

namespace kvsift {

namespace {

struct Choice {
  float logit;
  std::int32_t id;
};

/** The order of sampling: falling logits, ties by id. */
bool before(const Choice& a, const Choice& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

float without_nan(float logit) { return std::isnan(logit) ? -std::numeric_limits<float>::infinity() : logit; }

/** Index in `choices` that the rule draws. They are brought into order only as far as needed. */
std::size_t draw(Choice* choices, std::size_t count, const SamplingRule& rule, float best) {
  const auto weight = [&](std::size_t at) { return std::exp((static_cast<double>(choices[at].logit) - best) / rule.temperature); };
  if (rule.top_k > 0 && static_cast<std::size_t>(rule.top_k) < count) {
    std::nth_element(choices, choices + rule.top_k - 1, choices + count, before);
    count = static_cast<std::size_t>(rule.top_k);
  }
  double total = 0;
  for (std::size_t at = 0; at < count; at++) total += weight(at);

  std::size_t sorted = 0;
  const auto sort_up_to = [&](std::size_t at) {
    while (at >= sorted) {
      const std::size_t step = std::min(count - sorted, std::max<std::size_t>(sorted, 64));
      if (sorted + step < count) std::nth_element(choices + sorted, choices + sorted + step, choices + count, before);
      std::sort(choices + sorted, choices + sorted + step, before);
      sorted += step;
    }
  };
  std::size_t kept = 0;
  double kept_weight = 0;
  for (; kept < count; kept++) {
    if (kept > 0 && kept_weight / total >= rule.top_p) break;
    sort_up_to(kept);
    const double next = weight(kept);
    if (kept > 0 && next < rule.min_p) break;
    kept_weight += next;
  }
  double rest = rule.uniform * kept_weight;
  for (std::size_t at = 0; at + 1 < kept; at++) {
    rest -= weight(at);
    if (rest < 0) return at;
  }
  return kept - 1;
}

}  // namespace

void sample(Context& context, const float* logits, std::size_t rows, std::size_t vocabulary, const SamplingRule* rules, std::int32_t* ids,
            float* log_probs) {
  const auto& kernels = context.kernels().rows;
  context.parallel_for(rows, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    for (std::size_t row = begin; row < end; row++) {
      const float* x = logits + row * vocabulary;
      const float top = kernels.largest(x, vocabulary);
      const double sum = kernels.exp_sum(x, vocabulary, top);
      // Where all are NaN or −∞ the first is as good as any.
      std::size_t chosen = top > -std::numeric_limits<float>::infinity() ? static_cast<std::size_t>(std::find(x, x + vocabulary, top) - x) : 0;
      if (rules[row].temperature > 0) {
        auto* choices = static_cast<Choice*>(context.thread_scratch(thread, vocabulary * sizeof(Choice)));
        for (std::size_t id = 0; id < vocabulary; id++) choices[id] = {without_nan(x[id]), static_cast<std::int32_t>(id)};
        chosen = static_cast<std::size_t>(choices[draw(choices, vocabulary, rules[row], top)].id);
      }
      ids[row] = static_cast<std::int32_t>(chosen);
      log_probs[row] = static_cast<float>(static_cast<double>(without_nan(x[chosen])) - top - std::log(sum));
    }
  });
}

}  // namespace kvsift

#pragma once

#include "kernels/descend.cuh"
#include "math/rows.h"

namespace kvsift::KVSIFT_TARGET {

constexpr unsigned sample_threads = 512;

constexpr std::size_t sample_shares = 64;

/** What one share of a row's tokens holds: the best of them as a key, and the sum of all their exponentials over its own. */
struct SampleShare {
  Count best_key;
  double sum;
};

/** Rises with the logit and, where logits are equal, with lower ids. */
__device__ inline Count sample_key(float logit, int id) { return Count{~descending(logit)} << 32 | ~static_cast<std::uint32_t>(id); }
__device__ inline int id_of_key(Count key) { return static_cast<int>(~static_cast<std::uint32_t>(key)); }
__device__ inline float logit_at(const float* x, int id) { return x[id] != x[id] ? lowest : x[id]; }
__device__ inline double odds(float logit, float best) {
  return logit == best ? 1.0 : exp(static_cast<double>(logit) - static_cast<double>(best));
}

/** Best token and sum of each share of a row: one block is too few for the exponentials of a whole vocabulary. Grid: shares, rows. */
__global__ void __launch_bounds__(sample_threads) sample_bests(const float* logits, int vocabulary, std::size_t rows,
                                                               SampleShare* __restrict__ out) {
  await_previous();
  __shared__ Count counts[33];
  __shared__ double sums[33];
  const int share = (vocabulary + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x);
  const int begin = static_cast<int>(blockIdx.x) * share;
  const int end = begin + share < vocabulary ? begin + share : vocabulary;
  for (std::size_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const float* x = logits + row * vocabulary;
    Count key = 0;
    for (int id = begin + static_cast<int>(threadIdx.x); id < end; id += static_cast<int>(blockDim.x)) {
      const Count own = sample_key(x[id], id);
      key = own > key ? own : key;
    }
    key = block_max(key, counts);
    double sum = 0;
    if (begin < end) {
      const float best = logit_at(x, id_of_key(key));
      for (int id = begin + static_cast<int>(threadIdx.x); id < end; id += static_cast<int>(blockDim.x)) sum += odds(logit_at(x, id), best);
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) out[row * gridDim.x + blockIdx.x] = {key, sum};
  }
}

/**
 * One block per row. top-k, top-p and min-p each keep a prefix of the tokens in falling order, so the set kept is the shortest of three prefixes,
 * and drawing from it is one more walk along the running weight: no sort.
 * @param weights [rows, vocabulary] scratch
 */
__global__ void __launch_bounds__(sample_threads) sample_rows(const float* logits, int vocabulary,
                                                              const kvsift_cuda_sampling_rule* rules,
                                                              const SampleShare* shares, int share_count, Count* __restrict__ weights,
                                                              std::int32_t* __restrict__ ids, float* __restrict__ log_probs) {
  await_previous();
  __shared__ DescendRoom room;
  __shared__ Count counts[33];
  __shared__ double sums[33];
  __shared__ int chosen;
  const float* x = logits + static_cast<std::size_t>(blockIdx.x) * vocabulary;
  Count* weight = weights + static_cast<std::size_t>(blockIdx.x) * vocabulary;
  const kvsift_cuda_sampling_rule rule = rules[blockIdx.x];
  const int first = static_cast<int>(threadIdx.x);
  const int step = static_cast<int>(blockDim.x);

  const SampleShare* own = shares + static_cast<std::size_t>(blockIdx.x) * share_count;
  Count best_key = first < share_count ? own[first].best_key : 0;
  best_key = block_max(best_key, counts);
  const int greedy = id_of_key(best_key);
  const float best = logit_at(x, greedy);
  double sum = 0;
  if (first < share_count && own[first].best_key != 0) sum = own[first].sum * odds(logit_at(x, id_of_key(own[first].best_key)), best);
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) chosen = greedy;

  if (rule.temperature > 0) {
    Count all = 0;
    Count likely = 0;  // weight of the tokens that min-p keeps
    const Count least = static_cast<Count>(ldexp(static_cast<double>(rule.min_p < 0 ? 0.0f : rule.min_p > 1 ? 1.0f : rule.min_p), sample_bits));
    for (int id = first; id < vocabulary; id += step) {
      weight[id] = sample_weight(x[id], best, rule.temperature);
      all += weight[id];
      if (weight[id] >= least) likely += weight[id];
    }
    all = block_sum(all, counts);
    likely = block_sum(likely, counts);
    const auto key_of = [&](int id) { return descending(x[id]); };
    const auto weight_at = [&](int id) { return weight[id]; };
    if (rule.top_k > 0 && rule.top_k < vocabulary) {
      const Crossing last = descend(vocabulary, static_cast<Count>(rule.top_k - 1), room, key_of, [](int) { return Count{1}; });
      Count inside = 0;
      Count tie = 0;
      for (int id = first; id < vocabulary; id += step) {
        const std::uint32_t key = key_of(id);
        if (key < last.key) inside += weight[id];
        if (key == last.key) tie = weight[id];
      }
      inside = block_sum(inside, counts);
      tie = block_max(tie, counts);
      all = inside + (static_cast<Count>(rule.top_k) - last.before) * tie;
    }
    Count kept = all < likely ? all : likely;
    const Count goal = top_p_goal(all, rule.top_p);
    if (goal < all) {
      const Crossing last = descend(vocabulary, goal - 1, room, key_of, weight_at);
      Count tie = 0;
      for (int id = first; id < vocabulary; id += step) {
        if (key_of(id) == last.key) tie = weight[id];
      }
      tie = block_max(tie, counts);
      const Count reached = last.before + (goal - last.before + tie - 1) / tie * tie;
      kept = reached < kept ? reached : kept;
    }
    const auto drawn = static_cast<Count>(rule.uniform * static_cast<double>(kept));
    const Count target = drawn < kept ? drawn : kept - 1;
    const Crossing at = descend(vocabulary, target, room, key_of, weight_at);
    Count before = 0;
    for (int base = 0; base < vocabulary; base += step) {
      const int id = base + first;
      const bool equal = id < vocabulary && key_of(id) == at.key;
      Count total;
      const Count rank = before + block_sum_before(Count{equal}, counts, total);
      before += total;
      if (equal && rank == (target - at.before) / weight[id]) chosen = id;
    }
  }
  sync_block();
  if (threadIdx.x == 0) {
    const float value = logit_at(x, chosen);
    ids[blockIdx.x] = chosen;
    log_probs[blockIdx.x] = static_cast<float>((value == best ? 0.0 : static_cast<double>(value) - static_cast<double>(best)) - log(sum));
  }
}

}  // namespace kvsift::KVSIFT_TARGET

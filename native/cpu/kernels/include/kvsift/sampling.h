#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift {

/** `SamplingRule` of packages/tensor/src/op-options.ts. */
struct SamplingRule {
  float temperature = 0;    // 0: greedy, ties to the lowest id
  std::int32_t top_k = 0;   // 0: all
  float top_p = 1;          // of what top_k left, renormalised
  float min_p = 0;          // share of the largest probability
  double uniform = 0.5;     // in (0, 1): inverse of the distribution function, tokens in order of falling probability (ties: lower id)
};

/**
 * Next token of each row of logits f32 [rows, vocabulary].
 * @param rules one per row
 * @param ids i32 [rows]
 * @param log_probs f32 [rows]: natural-log probability under the unmodified logits
 */
void sample(Context& context, const float* logits, std::size_t rows, std::size_t vocabulary, const SamplingRule* rules, std::int32_t* ids,
            float* log_probs);

}  // namespace kvsift

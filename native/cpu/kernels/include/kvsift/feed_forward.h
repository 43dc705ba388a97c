#pragma once

#include <cstddef>

#include "kvsift/rows.h"
#include "kvsift/weights.h"

namespace kvsift {

/** The weights of a feed-forward block and what is between them. */
struct FeedForward {
  const float* norm;  // f32 [gate_up.columns()]
  float epsilon;
  float weight_offset;
  const PackedWeight& gate_up;  // [2 · inner, hidden]
  const PackedWeight& down;     // [outputs, inner]
  const float* gate_up_bias;    // f32 [2 · inner] or null
  const float* down_bias;       // f32 [outputs] or null
  Activation activation;
};

struct FeedForwardRows {
  const float* x;         // f32 [count, hidden]
  std::size_t count;
  bool apart;             // as in `linear`
  const float* residual;  // f32 [count, outputs] or null; may be x
  float* normed;          // room for [count, hidden rounded up to even]; may be `out`
  float* middle;          // room for [count, inner]
  float* out;             // f32 [count, outputs]; may not overlap x
};

/**
 * out = gated_linear(rms_norm(x)) · downᵀ (+ bias) (+ residual): what those ops give one after the other, to the bit. Where products of many rows are of
 * bf16, what lies between them is never anything else.
 */
void feed_forward(Context& context, Compute compute, const FeedForward& part, const FeedForwardRows& rows);

}  // namespace kvsift

#pragma once

#include <optional>
#include <span>

#include "kvsift/linear.h"
#include "kvsift/rows.h"
#include "kvsift/sampling.h"
#include "launch/backend.h"

namespace kvsift::launch {

// The model ops of packages/tensor/src/backend.ts.

Tensor embedding(Backend& backend, const Tensor& table, const Tensor& ids, float scale);
Tensor rms_norm(Backend& backend, const Tensor& x, const Tensor& weight, float epsilon, float weight_offset);
Tensor linear(Backend& backend, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<Tensor>& residual, bool apart);

struct FeedForwardWeights {
  Tensor norm;
  Tensor gate_up;
  std::optional<Tensor> gate_up_bias;
  Tensor down;
  std::optional<Tensor> down_bias;
};
struct FeedForwardOptions {
  float epsilon;
  float weight_offset;
  Activation activation;
  std::optional<Tensor> residual;
  bool apart;
};
Tensor feed_forward(Backend& backend, const Tensor& x, const FeedForwardWeights& weights, const FeedForwardOptions& options);
Tensor projected_norms(Backend& backend, const Tensor& values, const Tensor& weight, Norm norm);
Tensor gated(Backend& backend, const Tensor& x, Activation activation);
Tensor softcap(Backend& backend, const Tensor& x, float cap);
std::vector<Tensor> split_columns(Backend& backend, const Tensor& x, std::span<const std::size_t> widths);
Tensor rope(Backend& backend, const Tensor& x, const Tensor& positions, std::size_t heads, const Tensor& inverse_frequencies, float scale);

struct Sampled {
  Tensor ids;
  Tensor log_probs;
};
Sampled sample(Backend& backend, const Tensor& logits, std::vector<SamplingRule> rules);

}  // namespace kvsift::launch

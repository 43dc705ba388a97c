#include "kvsift/feed_forward.h"
#include "kvsift/linear.h"
#include "launch/model.h"
#include "launch/weight.h"

namespace kvsift::launch {

void settle(Context& context, Weight& weight, Compute compute) {
  // An embedding stays where it is mapped.
  if (!weight.for_products) return;
  weight.packed = std::make_unique<PackedWeight>(context, weight.sources, compute);
  weight.memory->add(weight.packed->bytes(), true);
  weight.counted = weight.packed->bytes();
}

void settle_vector(Context& context, const WeightSource& rows, float* to) { kvsift::dequantize(context, std::span(&rows, 1), to); }

bool takes_products(const Tensor& weight) { return weight.storage->weight && weight.storage->weight->for_products; }

void product(Context& context, Compute compute, const Tensor& weight, const float* x, std::size_t rows, bool apart, const float* bias,
             const float* residual, float* out) {
  kvsift::linear(context, compute, *weight.storage->weight->packed, x, rows, apart, bias, residual, out);
}

void fed_forward(Context& context, Compute compute, const FeedForwardWeights& weights, const FeedForwardOptions& options, const Tensor& x, const Tensor& normed,
                 const Tensor& middle, const Tensor& out) {
  const auto maybe = [](const std::optional<Tensor>& tensor) { return tensor ? tensor->floats() : nullptr; };
  const FeedForward part{weights.norm.floats(),
                         options.epsilon,
                         options.weight_offset,
                         *weights.gate_up.storage->weight->packed,
                         *weights.down.storage->weight->packed,
                         maybe(weights.gate_up_bias),
                         maybe(weights.down_bias),
                         options.activation};
  kvsift::feed_forward(context, compute, part, {x.floats(), x.shape[0], options.apart, maybe(options.residual), normed.out(), middle.out(), out.out()});
}

void norms_of_products(Context& context, Compute compute, const Tensor& weight, const HeadValues& values, Norm norm, float* out) {
  kvsift::projected_norms(context, compute, *weight.storage->weight->packed, values, norm, out);
}

}  // namespace kvsift::launch

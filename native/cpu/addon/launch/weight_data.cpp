#include "kvsift/linear.h"
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

void gated_product(Context& context, Compute compute, const Tensor& weight, const float* x, std::size_t rows, bool apart, const float* bias,
                   Activation activation, float* out) {
  kvsift::gated_linear(context, compute, *weight.storage->weight->packed, x, rows, apart, bias, activation, out);
}

void norms_of_products(Context& context, Compute compute, const Tensor& weight, const HeadValues& values, Norm norm, float* out) {
  kvsift::projected_norms(context, compute, *weight.storage->weight->packed, values, norm, out);
}

}  // namespace kvsift::launch

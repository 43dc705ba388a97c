// The model ops of native/cpu/kernels on the kernels of the device.
#include <algorithm>
#include <cstring>

#include "kvsift/context.h"
#include "kvsift/rows.h"
#include "kvsift/sampling.h"
#include "runtime/device_scratch.h"

namespace kvsift {

void rms_norm(Context& context, const float* x, std::size_t rows, std::size_t columns, const float* weight, float epsilon, float weight_offset, float* out) {
  context.run(kvsift_cuda_rms_norm(context.kernels(), context.stream(), x, rows, columns, weight, epsilon, weight_offset, out));
}

void gated(Context& context, const float* x, std::size_t rows, std::size_t half, Activation activation, float* out) {
  context.run(kvsift_cuda_gated(context.kernels(), context.stream(), x, rows, half, static_cast<kvsift_cuda_activation>(activation), out));
}

void softcap(Context& context, const float* x, std::size_t count, float cap, float* out) {
  context.run(kvsift_cuda_softcap(context.kernels(), context.stream(), x, count, cap, out));
}

void split_columns(Context& context, const float* x, std::size_t rows, std::span<const std::size_t> widths, std::span<float* const> out) {
  context.run(kvsift_cuda_split_columns(context.kernels(), context.stream(), x, rows, widths.size(), widths.data(), out.data()));
}

void rope(Context& context, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, const std::int32_t* positions,
          const float* inverse_frequencies, std::size_t rotary, float scale, float* out) {
  context.run(kvsift_cuda_rope(context.kernels(), context.stream(), x, rows, heads, head_dim, positions, inverse_frequencies, rotary, scale, out));
}

void sample(Context& context, const float* logits, std::size_t rows, std::size_t vocabulary, const SamplingRule* rules, std::int32_t* ids,
            float* log_probs) {
  if (rows == 0) return;
  const std::size_t bytes = rows * sizeof(kvsift_cuda_sampling_rule);
  const std::shared_ptr<void> host = context.device().host_memory().take(bytes);
  auto* own = static_cast<kvsift_cuda_sampling_rule*>(host.get());
  for (std::size_t row = 0; row < rows; row++) {
    own[row] = {rules[row].temperature, rules[row].top_k, rules[row].top_p, rules[row].min_p, rules[row].uniform};
  }
  const DeviceScratch device(context, bytes);
  context.device().copy_in(device.data(), own, bytes);
  context.keep(host);
  context.run(kvsift_cuda_sample(context.kernels(), context.stream(), logits, rows, vocabulary, static_cast<kvsift_cuda_sampling_rule*>(device.data()), ids,
                                 log_probs));
}

}  // namespace kvsift

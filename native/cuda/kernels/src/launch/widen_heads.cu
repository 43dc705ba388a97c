#include "launch/widen_heads.h"

#include "kernels/widen_heads.cuh"
#include "launch/algebra.h"

namespace kvsift::KVSIFT_TARGET {

WideHeads::WideHeads(const Launch& launch, std::vector<SightedRows>& parts, const float* q, std::size_t vectors)
    : launch_(launch), q_(q), vectors_(vectors) {
  if (parts.empty()) return;
  head_dim_ = parts.front().view.head_dim;
  if (head_dim_ % 8 == 0) return;
  step_ = ceil_div(head_dim_, 8) * 8;
  for (SightedRows& part : parts) part.view = widen(part.view);
  const std::size_t bytes = vectors * step_ * sizeof(float);
  const Scratch& wide_q = take(bytes);
  fill_bytes(launch, wide_q.as<void>(), 0, bytes);
  copy_pieces(launch, q, head_dim_ * sizeof(float), wide_q.as<void>(), step_ * sizeof(float), head_dim_ * sizeof(float), vectors);
  q_ = wide_q.as<float>();
  wide_out_ = &take(bytes);
}

void WideHeads::finish(float* out) const {
  if (wide_out_ == nullptr || out == nullptr) return;
  copy_pieces(launch_, wide_out_->as<void>(), step_ * sizeof(float), out, head_dim_ * sizeof(float), head_dim_ * sizeof(float), vectors_);
}

Scratch& WideHeads::take(std::size_t bytes) {
  memory_.push_back(std::make_unique<Scratch>(launch_, bytes));
  return *memory_.back();
}

KvView WideHeads::widen(const KvView& view) {
  KvView to = view;
  to.head_dim = step_;
  to.rows = view.kv_heads * view.max_length;
  to.table = nullptr;
  const std::size_t elements = to.rows * step_;
  const std::size_t bytes = elements * (view.type == KVSIFT_CUDA_F32 ? 4 : 2);
  to.keys = take(bytes).as<void>();
  to.values = take(bytes).as<void>();
  std::int32_t* starts = take(view.kv_heads * sizeof(std::int32_t)).as<std::int32_t>();
  to.starts = starts;
  if (view.positions != nullptr) to.positions = take(to.rows * sizeof(std::int32_t)).as<std::int32_t>();
  if (elements == 0) {
    fill_bytes(launch_, starts, 0, view.kv_heads * sizeof(std::int32_t));
    return to;
  }
  const Grid grid{blocks_for(launch_, elements, 256), 1, 1};
  const auto start = [&](auto kernel) { launch_.check(start_kernel(kernel, grid, 256, 0, launch_.stream, view, to, starts)); };
  switch (view.type) {
    case KVSIFT_CUDA_F32: start(widen_heads<F32>); break;
    case KVSIFT_CUDA_F16: start(widen_heads<F16>); break;
    default: start(widen_heads<BF16>); break;
  }
  return to;
}

}  // namespace kvsift::KVSIFT_TARGET

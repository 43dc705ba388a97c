#include "launch/widen_heads.h"

#include "kernels/widen_heads.cuh"
#include "launch/algebra.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

constexpr std::size_t boundary = 256;

std::size_t rounded(std::size_t bytes) { return ceil_div(bytes, boundary) * boundary; }

std::size_t element_bytes(const KvView& view) { return view.type == KVSIFT_CUDA_F32 ? 4 : 2; }

std::size_t step_of(const KvView& view) { return ceil_div(view.head_dim, 8) * 8; }

}  // namespace

WideHeads::WideHeads(const Launch& launch, std::vector<SightedRows>& parts, const float* q, std::size_t vectors)
    : launch_(launch), memory_(launch, bytes_of(parts, vectors)), q_(q), vectors_(vectors) {
  if (parts.empty()) return;
  head_dim_ = parts.front().view.head_dim;
  if (head_dim_ % 8 == 0) return;
  step_ = step_of(parts.front().view);
  for (SightedRows& part : parts) part.view = widen(part.view);
  const std::size_t bytes = vectors * step_ * sizeof(float);
  auto* wide_q = static_cast<float*>(take(bytes));
  fill_bytes(launch, wide_q, 0, bytes);
  copy_pieces(launch, q, head_dim_ * sizeof(float), wide_q, step_ * sizeof(float), head_dim_ * sizeof(float), vectors);
  q_ = wide_q;
  wide_out_ = static_cast<float*>(take(bytes));
}

std::size_t WideHeads::bytes_of(const std::vector<SightedRows>& parts, std::size_t vectors) {
  if (parts.empty() || parts.front().view.head_dim % 8 == 0) return 0;
  std::size_t bytes = 2 * rounded(vectors * step_of(parts.front().view) * sizeof(float));
  for (const SightedRows& part : parts) {
    const KvView& view = part.view;
    const std::size_t rows = view.kv_heads * view.max_length;
    bytes += 2 * rounded(rows * step_of(view) * element_bytes(view)) + rounded(view.kv_heads * sizeof(std::int32_t)) + rounded(rows * sizeof(std::int32_t));
  }
  return bytes;
}

void* WideHeads::take(std::size_t bytes) {
  void* piece = memory_.as<unsigned char>() + used_;
  used_ += rounded(bytes);
  return piece;
}

void WideHeads::finish(float* out) const {
  if (wide_out_ == nullptr || out == nullptr) return;
  copy_pieces(launch_, wide_out_, step_ * sizeof(float), out, head_dim_ * sizeof(float), head_dim_ * sizeof(float), vectors_);
}

KvView WideHeads::widen(const KvView& view) {
  KvView to = view;
  to.head_dim = step_;
  to.rows = view.kv_heads * view.max_length;
  to.table = nullptr;
  const std::size_t elements = to.rows * step_;
  to.keys = take(elements * element_bytes(view));
  to.values = take(elements * element_bytes(view));
  auto* starts = static_cast<std::int32_t*>(take(view.kv_heads * sizeof(std::int32_t)));
  to.starts = starts;
  if (view.positions != nullptr) to.positions = static_cast<std::int32_t*>(take(to.rows * sizeof(std::int32_t)));
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

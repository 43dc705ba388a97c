#include "launch/widen_heads.h"

#include "kernels/widen_heads.cuh"
#include "launch/algebra.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

constexpr std::size_t boundary = 256;

std::size_t element_bytes(kvsift_cuda_dtype type) { return type == KVSIFT_CUDA_F32 ? 4 : 2; }

bool in_blocks(std::span<const SightedRows> parts) { return !parts.empty() && parts.front().view.type == KVSIFT_CUDA_Q8_0; }

std::size_t head_dim_of(std::span<const SightedRows> parts) { return parts.empty() ? 0 : parts.front().view.head_dim; }

bool widens(std::span<const SightedRows> parts) { return head_dim_of(parts) % 8 != 0; }

kvsift_cuda_dtype type_of(std::span<const SightedRows> parts) { return parts.empty() ? KVSIFT_CUDA_F32 : parts.front().view.type; }

}  // namespace

std::size_t PlainViews::rounded(std::size_t bytes) { return ceil_div(bytes, boundary) * boundary; }

PlainViews::PlainViews(const Launch& launch, std::span<const SightedRows> parts, kvsift_cuda_dtype type, std::size_t head_dim, std::size_t beside)
    : launch_(launch), memory_(launch, bytes_of(parts, type, head_dim) + beside), type_(type), head_dim_(head_dim) {}

std::size_t PlainViews::bytes_of(std::span<const SightedRows> parts, kvsift_cuda_dtype type, std::size_t head_dim) {
  std::size_t bytes = 0;
  for (const SightedRows& part : parts) {
    const std::size_t rows = part.view.kv_heads * part.view.max_length;
    bytes += 2 * rounded(rows * head_dim * element_bytes(type)) + rounded(part.view.kv_heads * sizeof(std::int32_t)) + rounded(rows * sizeof(std::int32_t));
  }
  return bytes;
}

void* PlainViews::take(std::size_t bytes) {
  void* piece = memory_.as<unsigned char>() + used_;
  used_ += rounded(bytes);
  return piece;
}

KvView PlainViews::copy(const KvView& view) {
  KvView to = view;
  to.type = type_;
  to.head_dim = head_dim_;
  to.rows = view.kv_heads * view.max_length;
  to.table = nullptr;
  const std::size_t elements = to.rows * head_dim_;
  to.keys = take(elements * element_bytes(type_));
  to.values = take(elements * element_bytes(type_));
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
    case KVSIFT_CUDA_F32: start(widen_heads<F32, F32>); break;
    case KVSIFT_CUDA_F16: start(widen_heads<F16, F16>); break;
    case KVSIFT_CUDA_Q8_0: start(widen_heads<Q8, F16>); break;
    default: start(widen_heads<BF16, BF16>); break;
  }
  return to;
}

WideHeads::WideHeads(const Launch& launch, std::vector<SightedRows>& parts, const float* q, std::size_t vectors)
    : launch_(launch),
      head_dim_(head_dim_of(parts)),
      step_(ceil_div(head_dim_, 8) * 8),
      vectors_(vectors),
      views_(launch, widens(parts) ? std::span<const SightedRows>(parts) : std::span<const SightedRows>(), type_of(parts), step_,
             widens(parts) ? 2 * PlainViews::rounded(vectors * step_ * sizeof(float)) : 0),
      q_(q) {
  if (!widens(parts)) return;
  for (SightedRows& part : parts) part.view = views_.copy(part.view);
  const std::size_t bytes = vectors * step_ * sizeof(float);
  auto* wide_q = static_cast<float*>(views_.take(bytes));
  fill_bytes(launch, wide_q, 0, bytes);
  copy_pieces(launch, q, head_dim_ * sizeof(float), wide_q, step_ * sizeof(float), head_dim_ * sizeof(float), vectors);
  q_ = wide_q;
  wide_out_ = static_cast<float*>(views_.take(bytes));
}

void WideHeads::finish(float* out) const {
  if (wide_out_ == nullptr || out == nullptr) return;
  copy_pieces(launch_, wide_out_, step_ * sizeof(float), out, head_dim_ * sizeof(float), head_dim_ * sizeof(float), vectors_);
}

KvView as_halves(KvView view) {
  if (view.type == KVSIFT_CUDA_Q8_0) view.type = KVSIFT_CUDA_F16;
  return view;
}

HalfViews::HalfViews(const Launch& launch, std::vector<SightedRows>& parts)
    : views_(launch, in_blocks(parts) ? std::span<const SightedRows>(parts) : std::span<const SightedRows>(), KVSIFT_CUDA_F16, head_dim_of(parts), 0) {
  if (!in_blocks(parts)) return;
  for (SightedRows& part : parts) part.view = views_.copy(part.view);
}

}  // namespace kvsift::KVSIFT_TARGET

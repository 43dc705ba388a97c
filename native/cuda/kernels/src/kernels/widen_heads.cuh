#pragma once

#include "math/attention.h"
#include "math/q8.h"

namespace kvsift::KVSIFT_TARGET {

/** A view's entries as dense rows of another type or more channels, zeros behind its own; `to` has its heads `view.max_length` rows apart. Grid: channels of all rows. */
template <class From, class To>
__global__ void __launch_bounds__(256) widen_heads(const KvView view, const KvView to, std::int32_t* __restrict__ starts) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= to.rows * to.head_dim) return;
  const std::size_t row = at / to.head_dim;
  const std::size_t channel = at % to.head_dim;
  const auto head = static_cast<unsigned>(row / view.max_length);
  const auto slot = static_cast<unsigned>(row % view.max_length);
  if (slot == 0 && channel == 0) starts[head] = static_cast<std::int32_t>(row);
  To key = To::round(0);
  To value = key;
  if (static_cast<std::int32_t>(slot) < view.lengths[head] && channel < view.head_dim) {
    const std::int64_t source = row_of(view, head, slot);
    const auto head_dim = static_cast<std::int64_t>(view.head_dim);
    key = To::round(entry_value<From>(view.keys, source, head_dim, static_cast<unsigned>(channel)));
    value = To::round(entry_value<From>(view.values, source, head_dim, static_cast<unsigned>(channel)));
    if (channel == 0 && view.positions != nullptr) to.positions[row] = view.positions[source];
  }
  static_cast<To*>(to.keys)[at] = key;
  static_cast<To*>(to.values)[at] = value;
}

}  // namespace kvsift::KVSIFT_TARGET

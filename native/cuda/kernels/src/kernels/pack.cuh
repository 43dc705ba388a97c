#pragma once

#include "math/numbers.h"
#include "simt/simt.h"

namespace kvsift::KVSIFT_TARGET {

/** Floats as 16-bit elements, 8 at a time; both on boundaries of 16 bytes. */
template <class Element>
__global__ void __launch_bounds__(256) pack_pieces(const float* __restrict__ from, Element* __restrict__ to, std::size_t pieces) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= pieces) return;
  const Vector16 low = load16(from + 8 * at);
  const Vector16 high = load16(from + 8 * at + 4);
  store16(to + 8 * at, {pack2<Element>(same_bits<float>(low.x), same_bits<float>(low.y)), pack2<Element>(same_bits<float>(low.z), same_bits<float>(low.w)),
                        pack2<Element>(same_bits<float>(high.x), same_bits<float>(high.y)), pack2<Element>(same_bits<float>(high.z), same_bits<float>(high.w))});
}

/** The same by pairs, wherever they lie. */
template <class Element>
__global__ void __launch_bounds__(256) pack_rows(const float* __restrict__ from, Element* __restrict__ to, std::size_t pairs) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= pairs) return;
  const std::uint32_t two = pack2<Element>(from[2 * at], from[2 * at + 1]);
  memcpy(to + 2 * at, &two, 4);
}

}  // namespace kvsift::KVSIFT_TARGET

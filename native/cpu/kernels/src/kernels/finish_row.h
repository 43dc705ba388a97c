#pragma once

// Where the sums of matrix products end. Compiled with products.cpp once per instruction set.

#include "../kernel_table.h"
#include "../simd.h"

namespace kvsift::KVSIFT_NS {

/** Vectors per 16-row panel. */
constexpr int parts = 16 / lanes;

/** Writes Panels · 16 sums of a row, as far as the target has columns. */
template <int Panels>
KVSIFT_INLINE void finish_row(const ProductTarget& target, std::size_t row, const F (&sums)[Panels][parts]) {
  float* out = target.out + row * target.stride;
  const float* residual = target.residual != nullptr ? target.residual + row * target.stride : nullptr;
  if (target.columns >= Panels * 16) {
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
      KVSIFT_UNROLL for (int v = 0; v < parts; v++) {
        const int at = p * 16 + v * lanes;
        F sum = sums[p][v];
        if (target.bias != nullptr) sum += load(target.bias + at);
        if (residual != nullptr) sum += load(residual + at);
        store(out + at, sum);
      }
    }
    return;
  }
  float ragged[Panels * 16];
  KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
    KVSIFT_UNROLL for (int v = 0; v < parts; v++) store(ragged + p * 16 + v * lanes, sums[p][v]);
  }
  for (std::size_t c = 0; c < target.columns; c++) {
    out[c] = ragged[c] + (target.bias != nullptr ? target.bias[c] : 0.0F) + (residual != nullptr ? residual[c] : 0.0F);
  }
}

/** The target of the panels from `panel` on. */
KVSIFT_INLINE ProductTarget from_panel(ProductTarget target, std::size_t panel) {
  target.out += panel * 16;
  target.columns -= panel * 16;
  if (target.bias != nullptr) target.bias += panel * 16;
  if (target.residual != nullptr) target.residual += panel * 16;
  return target;
}

}  // namespace kvsift::KVSIFT_NS

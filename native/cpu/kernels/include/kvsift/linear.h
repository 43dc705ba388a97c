#pragma once

#include <cstddef>

#include "kvsift/weights.h"

namespace kvsift {

/**
 * out = x · Wᵀ (+ bias) (+ residual).
 * A row of the result depends on its own row of x only, up to the number of rows: from 9 rows on another kernel sums in another order.
 * @param x f32 [rows, weight.columns()]
 * @param bias f32 [weight.rows()] or null
 * @param residual f32 [rows, weight.rows()] or null; may be `out`
 * @param out f32 [rows, weight.rows()]; may not overlap x
 */
void linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, const float* bias,
            const float* residual, float* out);

}  // namespace kvsift

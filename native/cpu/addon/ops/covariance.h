#pragma once

#include <cstddef>

#include "kvsift/context.h"
#include "kvsift/weights.h"

namespace kvsift::ops {

/**
 * Mean f32 [heads, head_dim] and population covariance f32 [heads, head_dim, head_dim] of rows x f32 [rows, heads · head_dim], at least one, for each
 * head. Differences from the mean are rounded as `compute` rounds operands of products. Threads do not change the result.
 */
void covariance(Context& context, Compute compute, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float* mean, float* out);

}  // namespace kvsift::ops

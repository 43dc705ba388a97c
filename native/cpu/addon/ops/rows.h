#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift::ops {

// Ops along the rows of x f32 [rows, columns]; out has the same shape and may not overlap x.

/** exp(x − max) / Σ exp(x − max) */
void softmax(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out);

/** Running sums, in double precision. */
void cumsum(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out);

/** Position of each element in ascending order; ties: lower index first; NaN last. */
void rank(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out);

enum class PoolKind : std::uint8_t { average, max };

/** Stride 1, odd kernel, centred: 'average' pads zeros and divides by the kernel size, 'max' pads −∞. */
void pool(Context& context, PoolKind kind, const float* x, std::size_t rows, std::size_t columns, std::size_t kernel_size, float* out);

}  // namespace kvsift::ops

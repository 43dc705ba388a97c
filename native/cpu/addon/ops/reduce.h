#pragma once

#include <cstddef>

#include "kvsift/context.h"
#include "kvsift/reduce.h"

namespace kvsift::ops {

/**
 * Reduces the middle axis of x f32 [before, size, after] to out f32 [before, after], in double precision. max and min pass NaN on; of nothing they
 * are ∓∞. variance divides by size − 1.
 */
void reduce(Context& context, ReduceOp op, const float* x, std::size_t before, std::size_t size, std::size_t after, float* out);

}  // namespace kvsift::ops

#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/elementwise.h"
#include "ops/broadcast.h"
#include "runtime/tensor.h"

namespace kvsift::ops {

using kvsift::BinaryOp;
using kvsift::UnaryOp;

/** out[i] = op(x[i]) */
void map(Context& context, UnaryOp op, const float* x, std::size_t count, float* out);

/** Broadcasts as NumPy does; `shape` is the shape of the result, with which both fit. max and min pass NaN on. */
void zip(Context& context, BinaryOp op, const float* a, const Shape& a_shape, const float* b, const Shape& b_shape, const Shape& shape, float* out);

void zip(Context& context, BinaryOp op, const float* a, float b, std::size_t count, float* out);

/** f32 from f32, f16, bf16, i32 or u8. */
void to_float(Context& context, DType type, const void* x, std::size_t count, float* out);

/** Fraction dropped; NaN becomes 0 and what i32 cannot hold its nearest end. */
void to_int(Context& context, const float* x, std::size_t count, std::int32_t* out);

}  // namespace kvsift::ops

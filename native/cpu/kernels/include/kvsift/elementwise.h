#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift {

enum class UnaryOp : std::uint8_t { exp, log, sqrt, abs, neg, square, reciprocal, floor, isfinite };
enum class BinaryOp : std::uint8_t { add, sub, mul, div, max, min, less };

/** out[i] = op(x[i]), on the calling thread. exp and log are rounded from more digits than a float has. */
void map_row(const Context& context, UnaryOp op, const float* x, std::size_t count, float* out);

/** out[i] = op(a[i · a_step], b[i · b_step]) with steps of 0 or 1, on the calling thread. max and min pass NaN on. */
void zip_row(const Context& context, BinaryOp op, const float* a, std::size_t a_step, const float* b, std::size_t b_step, std::size_t count, float* out);

}  // namespace kvsift

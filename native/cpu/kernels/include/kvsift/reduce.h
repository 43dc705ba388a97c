#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift {

enum class ReduceOp : std::uint8_t { sum, mean, max, min, variance };

/** out[i] = op of x f32 [rows, size] along its rows, on the calling thread. In double precision; max and min pass NaN on and are ∓∞ of nothing; variance divides by size − 1. */
void reduce_rows(const Context& context, ReduceOp op, const float* x, std::size_t rows, std::size_t size, float* out);

/** out[j] = op of the columns of x f32 [size, columns] whose rows are `stride` apart; the rest as in `reduce_rows`. */
void reduce_columns(const Context& context, ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t columns, float* out);

}  // namespace kvsift

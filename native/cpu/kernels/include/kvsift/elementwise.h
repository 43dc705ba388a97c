#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift {

enum class UnaryOp : std::uint8_t { exp, log, sqrt, abs, neg, square, reciprocal, floor, isfinite };
enum class BinaryOp : std::uint8_t { add, sub, mul, div, max, min, less };

/** out[i] = op(x[i]), on the calling thread. exp and log are rounded from more digits than a float has. */
void map_row(const Context& context, UnaryOp op, const float* x, std::size_t count, float* out);

/** One side of `zip_rows`: the step from column to column is 0 or 1, from row to row any. */
struct ZipSide {
  const float* x;
  std::size_t step;
  std::size_t row_step;
};

/** out[r, i] = op(a[r, i], b[r, i]), f32 [rows, columns], on the calling thread. max and min pass NaN on. */
void zip_rows(const Context& context, BinaryOp op, const ZipSide& a, const ZipSide& b, std::size_t rows, std::size_t columns, float* out);

/** The same for one row. */
inline void zip_row(const Context& context, BinaryOp op, const float* a, std::size_t a_step, const float* b, std::size_t b_step, std::size_t count, float* out) {
  zip_rows(context, op, {a, a_step, 0}, {b, b_step, 0}, 1, count, out);
}

/** Most keys that `rank_few` is the fastest way for. */
inline constexpr std::size_t few_ranks = 192;

/** Place of each key in ascending order, equal ones by index; `keys` has room up to a multiple of 16. On the calling thread. */
void rank_few(const Context& context, std::int32_t* keys, std::size_t count, float* ranks);

}  // namespace kvsift

#include "ops/layout.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace kvsift::ops {

namespace {

/** Columns of the result that are filled together, so that the lines read are used whole. */
constexpr std::size_t tile = 16;

using Word [[gnu::may_alias]] = std::uint32_t;

/** Four rows of the result whose elements lie side by side in x, `columns` at a multiple of 4, `step` apart there. */
void transpose_four(const Word* x, std::size_t step, std::size_t columns, Word* out, std::size_t stride) {
  using Four [[gnu::vector_size(16), gnu::aligned(4), gnu::may_alias]] = std::uint32_t;
  const auto load = [](const Word* from) { return *reinterpret_cast<const Four*>(from); };
  for (std::size_t i = 0; i < columns; i += 4, x += 4 * step) {
    const Four a = load(x);
    const Four b = load(x + step);
    const Four c = load(x + 2 * step);
    const Four d = load(x + 3 * step);
    const Four low = __builtin_shuffle(a, b, Four{0, 4, 1, 5});
    const Four high = __builtin_shuffle(a, b, Four{2, 6, 3, 7});
    const Four low2 = __builtin_shuffle(c, d, Four{0, 4, 1, 5});
    const Four high2 = __builtin_shuffle(c, d, Four{2, 6, 3, 7});
    *reinterpret_cast<Four*>(out + i) = __builtin_shuffle(low, low2, Four{0, 1, 4, 5});
    *reinterpret_cast<Four*>(out + stride + i) = __builtin_shuffle(low, low2, Four{2, 3, 6, 7});
    *reinterpret_cast<Four*>(out + 2 * stride + i) = __builtin_shuffle(high, high2, Four{0, 1, 4, 5});
    *reinterpret_cast<Four*>(out + 3 * stride + i) = __builtin_shuffle(high, high2, Four{2, 3, 6, 7});
  }
}

/** Some rows of the result, columns [strip, stop): each begins at `from` in x. Four at a time where they lie side by side there. */
template <class T>
void transpose_strip(const T* x, const std::size_t* from, std::size_t rows, std::size_t step, std::size_t strip, std::size_t stop, T* out, std::size_t columns) {
  const auto copy = [=](std::size_t row, std::size_t first) {
    for (std::size_t i = first; i < stop; i++) out[row * columns + i] = x[from[row] + i * step];
  };
  for (std::size_t row = 0; row < rows;) {
    if constexpr (sizeof(T) == 4) {
      if (row + 4 <= rows && from[row + 1] == from[row] + 1 && from[row + 2] == from[row] + 2 && from[row + 3] == from[row] + 3) {
        const std::size_t fours = (stop - strip) / 4 * 4;
        transpose_four(x + from[row] + strip * step, step, fours, out + row * columns + strip, columns);
        for (const std::size_t end = row + 4; row < end; row++) copy(row, strip + fours);
        continue;
      }
    }
    copy(row++, strip);
  }
}

template <class T>
void transpose_elements(Context& context, const T* x, const Shape& shape, const Shape& order, T* out) {
  const std::size_t rank = shape.rank();
  Shape steps;    // in x, per axis of the result
  Shape target;
  for (std::size_t axis = 0; axis < rank; axis++) {
    steps.push(shape.product(order[axis] + 1, rank));
    target.push(shape[order[axis]]);
  }
  const std::size_t columns = target.back();
  const std::size_t step = rank == 0 ? 1 : steps[rank - 1];
  const std::size_t rows = columns == 0 ? 0 : target.count() / columns;
  context.parallel_for(rows, std::max<std::size_t>(tile, 16384 / (columns + 1)), [=](std::size_t begin, std::size_t end, std::size_t) {
    const auto start = [&](std::size_t row) {
      std::size_t from = 0;
      for (std::size_t axis = rank == 0 ? 0 : rank - 1; axis-- > 0;) {
        from += row % target[axis] * steps[axis];
        row /= target[axis];
      }
      return from;
    };
    for (std::size_t first = begin; first < end; first += tile) {
      const std::size_t last = std::min(end, first + tile);
      std::size_t from[tile];
      for (std::size_t row = first; row < last; row++) from[row - first] = start(row);
      if (step == 1) {
        for (std::size_t row = first; row < last; row++) std::memcpy(out + row * columns, x + from[row - first], columns * sizeof(T));
        continue;
      }
      for (std::size_t strip = 0; strip < columns; strip += tile) {
        const std::size_t stop = std::min(columns, strip + tile);
        transpose_strip(x, from, last - first, step, strip, stop, out + first * columns, columns);
      }
    }
  });
}

}  // namespace

void copy_pieces(Context& context, const void* from, std::size_t from_stride, void* to, std::size_t to_stride, std::size_t bytes, std::size_t rows) {
  if (bytes == 0) return;
  const auto* source = static_cast<const std::byte*>(from);
  auto* target = static_cast<std::byte*>(to);
  // One long piece is cut too, so that all threads copy.
  const std::size_t part = 256 * 1024;
  const std::size_t parts = (bytes + part - 1) / part;
  context.parallel_for(rows * parts, 65536 / bytes + 1, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t row = task / parts;
      const std::size_t at = task % parts * part;
      std::memcpy(target + row * to_stride + at, source + row * from_stride + at, std::min(part, bytes - at));
    }
  });
}

void transpose_matrix(const float* x, std::size_t stride, std::size_t rows, std::size_t columns, float* out) {
  const auto* from = reinterpret_cast<const Word*>(x);
  auto* to = reinterpret_cast<Word*>(out);
  const std::size_t even_rows = rows / 4 * 4;
  const std::size_t even_columns = columns / 4 * 4;
  for (std::size_t column = 0; column < even_columns; column += 4) transpose_four(from + column, stride, even_rows, to + column * rows, rows);
  for (std::size_t column = 0; column < columns; column++) {
    for (std::size_t row = column < even_columns ? even_rows : 0; row < rows; row++) to[column * rows + row] = from[row * stride + column];
  }
}

void transpose(Context& context, const void* x, std::size_t size, const Shape& shape, const Shape& order, void* out) {
  if (size == 4) return transpose_elements(context, static_cast<const std::uint32_t*>(x), shape, order, static_cast<std::uint32_t*>(out));
  if (size == 2) return transpose_elements(context, static_cast<const std::uint16_t*>(x), shape, order, static_cast<std::uint16_t*>(out));
  return transpose_elements(context, static_cast<const std::uint8_t*>(x), shape, order, static_cast<std::uint8_t*>(out));
}

}  // namespace kvsift::ops

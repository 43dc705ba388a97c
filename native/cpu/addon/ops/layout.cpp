#include "ops/layout.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace kvsift::ops {

namespace {

/** Columns of the result that are filled together, so that the lines read are used whole. */
constexpr std::size_t tile = 16;

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
        for (std::size_t row = first; row < last; row++) {
          for (std::size_t i = strip; i < stop; i++) out[row * columns + i] = x[from[row - first] + i * step];
        }
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

void transpose(Context& context, const void* x, std::size_t size, const Shape& shape, const Shape& order, void* out) {
  if (size == 4) return transpose_elements(context, static_cast<const std::uint32_t*>(x), shape, order, static_cast<std::uint32_t*>(out));
  if (size == 2) return transpose_elements(context, static_cast<const std::uint16_t*>(x), shape, order, static_cast<std::uint16_t*>(out));
  return transpose_elements(context, static_cast<const std::uint8_t*>(x), shape, order, static_cast<std::uint8_t*>(out));
}

}  // namespace kvsift::ops

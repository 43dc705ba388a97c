#include "kvsift/elementwise.h"

#include <algorithm>
#include <limits>

#include "kernel_table.h"

namespace kvsift {

void map_row(const Context& context, UnaryOp op, const float* x, std::size_t count, float* out) { context.kernels().elements.map(op, x, count, out); }

void zip_rows(const Context& context, BinaryOp op, const ZipSide& a, const ZipSide& b, std::size_t rows, std::size_t columns, float* out) {
  context.kernels().elements.zip(op, a, b, rows, columns, out);
}

void rank_few(const Context& context, std::int32_t* keys, std::size_t count, float* ranks) {
  std::fill(keys + count, keys + (count + 15) / 16 * 16, std::numeric_limits<std::int32_t>::max());
  context.kernels().rows.rank_few(keys, count, ranks);
}

}  // namespace kvsift

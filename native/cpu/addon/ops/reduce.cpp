#include "ops/reduce.h"

#include <algorithm>

namespace kvsift::ops {

namespace {

/** Columns that one task folds. */
constexpr std::size_t strip = 64;

}  // namespace

void reduce(Context& context, ReduceOp op, const float* x, std::size_t before, std::size_t size, std::size_t after, float* out) {
  if (after == 1) {
    context.parallel_for(before, 16384 / (size + 1) + 1, [=, &context](std::size_t begin, std::size_t end, std::size_t) {
      reduce_rows(context, op, x + begin * size, end - begin, size, out + begin);
    });
    return;
  }
  const std::size_t strips = (after + strip - 1) / strip;
  context.parallel_for(before * strips, 256 / (size + 1) + 1, [=, &context](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t row = task / strips;
      const std::size_t first = task % strips * strip;
      reduce_columns(context, op, x + row * size * after + first, size, after, std::min(strip, after - first), out + row * after + first);
    }
  });
}

}  // namespace kvsift::ops

#include "ops/rows.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kvsift/elementwise.h"
#include "kvsift/reduce.h"
#include "ops/order.h"

namespace kvsift::ops {

namespace {

template <class Work>
void each_row(Context& context, std::size_t rows, std::size_t columns, Work work) {
  context.parallel_for(rows, 8192 / (columns + 1) + 1, [=](std::size_t begin, std::size_t end, std::size_t thread) {
    for (std::size_t row = begin; row < end; row++) work(row, thread);
  });
}

}  // namespace

void softmax(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  each_row(context, rows, columns, [=, &context](std::size_t row, std::size_t) {
    const float* from = x + row * columns;
    float* to = out + row * columns;
    float most = 0;
    reduce_rows(context, ReduceOp::max, from, 1, columns, &most);
    zip_row(context, BinaryOp::sub, from, 1, &most, 0, columns, to);
    map_row(context, UnaryOp::exp, to, columns, to);
    float sum = 0;
    reduce_rows(context, ReduceOp::sum, to, 1, columns, &sum);
    zip_row(context, BinaryOp::div, to, 1, &sum, 0, columns, to);
  });
}

void cumsum(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  each_row(context, rows, columns, [=](std::size_t row, std::size_t) {
    double sum = 0;
    for (std::size_t i = row * columns; i < (row + 1) * columns; i++) {
      sum += x[i];
      out[i] = static_cast<float>(sum);
    }
  });
}

namespace {

/** Sorts keys by their upper half; those that are equal there lie in order already. The result lies in `keys`. */
void sort_keys(std::uint64_t* keys, std::size_t count, std::uint64_t* room) {
  constexpr int bits = 8;
  constexpr std::size_t values = std::size_t{1} << bits;
  for (int shift = 32; shift < 64; shift += bits) {
    std::array<std::size_t, values + 1> starts{};
    for (std::size_t i = 0; i < count; i++) starts[(keys[i] >> shift) % values + 1]++;
    for (std::size_t value = 1; value <= values; value++) starts[value] += starts[value - 1];
    for (std::size_t i = 0; i < count; i++) room[starts[(keys[i] >> shift) % values]++] = keys[i];
    std::swap(keys, room);
  }
}

}  // namespace

void rank(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  each_row(context, rows, columns, [=, &context](std::size_t row, std::size_t thread) {
    const float* from = x + row * columns;
    if (columns <= few_ranks) {
      auto* keys = static_cast<std::int32_t*>(context.thread_scratch(thread, (columns + 15) * sizeof(std::int32_t)));
      // Flipping the highest bit keeps the order where numbers have a sign.
      for (std::size_t i = 0; i < columns; i++) keys[i] = static_cast<std::int32_t>(ascending(from[i]) ^ 0x80000000u);
      return rank_few(context, keys, columns, out + row * columns);
    }
    auto* keys = static_cast<std::uint64_t*>(context.thread_scratch(thread, 2 * columns * sizeof(std::uint64_t)));
    for (std::size_t i = 0; i < columns; i++) keys[i] = order_key(ascending(from[i]), i);
    sort_keys(keys, columns, keys + columns);
    for (std::size_t i = 0; i < columns; i++) out[row * columns + key_index(keys[i])] = static_cast<float>(i);
  });
}

namespace {

/** Joins the values up to `reach` around each column, in ascending order; what is not there is left out. Columns side by side as far as all have all. */
template <class Join, class Finish>
void pool_row(const float* x, std::size_t columns, std::size_t reach, double start, float* out, Join join, Finish finish) {
  constexpr std::size_t strip = 32;
  std::size_t at = 0;
  const auto take = [&](std::size_t end) {
    for (; at < end; at++) {
      double joined = start;
      for (std::size_t i = at > reach ? at - reach : 0; i < std::min(columns, at + reach + 1); i++) joined = join(joined, x[i]);
      out[at] = finish(joined);
    }
  };
  take(std::min(reach, columns));
  for (; at + strip + reach <= columns; at += strip) {
    std::array<double, strip> joined;
    joined.fill(start);
    for (std::size_t k = 0; k <= 2 * reach; k++) {
      for (std::size_t j = 0; j < strip; j++) joined[j] = join(joined[j], x[at + j + k - reach]);
    }
    for (std::size_t j = 0; j < strip; j++) out[at + j] = finish(joined[j]);
  }
  take(columns);
}

}  // namespace

void pool(Context& context, PoolKind kind, const float* x, std::size_t rows, std::size_t columns, std::size_t kernel_size, float* out) {
  const auto size = static_cast<double>(kernel_size);
  each_row(context, rows, columns, [=](std::size_t row, std::size_t) {
    const float* from = x + row * columns;
    float* to = out + row * columns;
    if (kind == PoolKind::average) {
      pool_row(from, columns, kernel_size / 2, 0, to, [](double sum, double v) { return sum + v; }, [=](double sum) { return static_cast<float>(sum / size); });
    } else {
      const double least = -std::numeric_limits<double>::infinity();
      pool_row(from, columns, kernel_size / 2, least, to, [](double most, double v) { return v > most || v != v ? v : most; },
               [](double most) { return static_cast<float>(most); });
    }
  });
}

}  // namespace kvsift::ops

#include "ops/rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

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
  each_row(context, rows, columns, [=](std::size_t row, std::size_t) {
    const float* from = x + row * columns;
    float* to = out + row * columns;
    float most = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < columns; i++) most = from[i] > most || from[i] != from[i] ? from[i] : most;
    double sum = 0;
    for (std::size_t i = 0; i < columns; i++) {
      to[i] = std::exp(from[i] - most);
      sum += to[i];
    }
    for (std::size_t i = 0; i < columns; i++) to[i] = static_cast<float>(to[i] / sum);
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

void rank(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  each_row(context, rows, columns, [=, &context](std::size_t row, std::size_t thread) {
    auto* keys = static_cast<std::uint64_t*>(context.thread_scratch(thread, columns * sizeof(std::uint64_t)));
    const float* from = x + row * columns;
    for (std::size_t i = 0; i < columns; i++) keys[i] = order_key(ascending(from[i]), i);
    std::sort(keys, keys + columns);
    for (std::size_t i = 0; i < columns; i++) out[row * columns + key_index(keys[i])] = static_cast<float>(i);
  });
}

void pool(Context& context, PoolKind kind, const float* x, std::size_t rows, std::size_t columns, std::size_t kernel_size, float* out) {
  const std::size_t reach = kernel_size / 2;
  each_row(context, rows, columns, [=](std::size_t row, std::size_t) {
    const float* from = x + row * columns;
    for (std::size_t at = 0; at < columns; at++) {
      const std::size_t begin = at > reach ? at - reach : 0;
      const std::size_t end = std::min(columns, at + reach + 1);
      double sum = 0;
      float most = -std::numeric_limits<float>::infinity();
      for (std::size_t i = begin; i < end; i++) {
        sum += from[i];
        most = from[i] > most || from[i] != from[i] ? from[i] : most;
      }
      out[row * columns + at] = kind == PoolKind::average ? static_cast<float>(sum / static_cast<double>(kernel_size)) : most;
    }
  });
}

}  // namespace kvsift::ops

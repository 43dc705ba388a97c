#include "kvsift/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "kv_rows.h"

// Plain loops, replaced step by step.
namespace kvsift {
namespace {
constexpr float none = -std::numeric_limits<float>::infinity();

struct Range { std::size_t first, last; };

void logits_of(Context& context, const KvView& view, std::size_t head, const float* q, const AttentionShape& shape, Range range, float* out) {
  const HeadRows rows(view, head);
  std::vector<float> key(view.head_dim);
  for (std::size_t slot = range.first; slot < range.last; slot++) {
    widen(context.kernels().rows, view.type, row_at(static_cast<const void*>(view.keys), view, rows.row(slot)), view.head_dim, key.data());
    double dot = 0;
    for (std::size_t c = 0; c < view.head_dim; c++) dot += static_cast<double>(q[c]) * key[c];
    const double scaled = dot * shape.scale;
    out[slot] = static_cast<float>(shape.softcap > 0 ? shape.softcap * std::tanh(scaled / shape.softcap) : scaled);
  }
}

float log_sum(const float* logits, Range range) {
  float top = none;
  for (std::size_t slot = range.first; slot < range.last; slot++) top = std::max(top, logits[slot]);
  if (top == none) return none;
  double sum = 0;
  for (std::size_t slot = range.first; slot < range.last; slot++) sum += std::exp(static_cast<double>(logits[slot]) - top);
  return static_cast<float>(top + std::log(sum));
}

Range visible(const KvView& view, std::size_t head, std::size_t length, std::int64_t end, const AttentionShape& shape, const std::int32_t* position) {
  const auto last = static_cast<std::size_t>(std::max<std::int64_t>(0, end));
  std::size_t first = 0;
  if (shape.window > 0 && position != nullptr) first = first_at_position(view, HeadRows(view, head), length, std::int64_t{*position} - shape.window + 1);
  return {std::min(first, last), last};
}
}  // namespace

void attention(Context& context, Compute, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape, const std::int32_t* positions,
               float* out, float* log_sum_exp) {
  std::size_t first_row = 0;
  for (const auto& [view, rows] : segments) {
    const std::size_t group = shape.query_heads / view.kv_heads;
    const std::size_t d = view.head_dim;
    context.parallel_for(rows * shape.query_heads, 1, [&](std::size_t begin, std::size_t, std::size_t) {
      const std::size_t row = first_row + begin / shape.query_heads;
      const std::size_t h = begin % shape.query_heads;
      const std::size_t g = h / group;
      const auto length = static_cast<std::size_t>(view.lengths[g]);
      const auto end = static_cast<std::int64_t>(length) - static_cast<std::int64_t>(rows) + static_cast<std::int64_t>(begin / shape.query_heads) + 1;
      const Range range = visible(view, g, length, end, shape, positions != nullptr ? positions + row : nullptr);
      std::vector<float> logits(length);
      std::vector<float> value(d);
      std::vector<double> sums(d);
      const std::size_t at = (row * shape.query_heads + h) * d;
      logits_of(context, view, g, q + at, shape, range, logits.data());
      const float total = log_sum(logits.data(), range);
      const HeadRows kv_rows(view, g);
      for (std::size_t slot = range.first; slot < range.last; slot++) {
        const double p = std::exp(static_cast<double>(logits[slot]) - total);
        widen(context.kernels().rows, view.type, row_at(static_cast<const void*>(view.values), view, kv_rows.row(slot)), d, value.data());
        for (std::size_t c = 0; c < d; c++) sums[c] += p * value[c];
      }
      for (std::size_t c = 0; c < d; c++) out[at + c] = static_cast<float>(sums[c]);
      if (log_sum_exp != nullptr) log_sum_exp[row * shape.query_heads + h] = total;
    });
    first_row += rows;
  }
}

void attention_rows(Context& context, const float* q, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments, float* out) {
  const AttentionShape& shape = arguments.shape;
  const std::size_t group = shape.query_heads / view.kv_heads;
  context.parallel_for(rows * shape.query_heads, 1, [&](std::size_t begin, std::size_t, std::size_t) {
    const std::size_t h = begin / rows;
    const std::size_t row = begin % rows;
    const auto end = arguments.mask == ColumnMask::none ? static_cast<std::int64_t>(n)
                                                        : static_cast<std::int64_t>(n) - static_cast<std::int64_t>(arguments.behind + rows) +
                                                              static_cast<std::int64_t>(row) + 1;
    const Range range = visible(view, h / group, n, end, shape, arguments.positions != nullptr ? arguments.positions + row : nullptr);
    float* to = out + (h * rows + row) * n;
    std::fill(to, to + n, 0.0F);
    logits_of(context, view, h / group, q + (row * shape.query_heads + h) * view.head_dim, shape, range, to);
    const float total = arguments.log_sum_exp != nullptr ? arguments.log_sum_exp[row * shape.query_heads + h] : log_sum(to, range);
    for (std::size_t slot = range.first; slot < range.last; slot++) to[slot] = total == none ? 0.0F : std::exp(to[slot] - total);
  });
}

void attention_columns(Context& context, Compute, const float* q, std::size_t rows, const KvView& view, std::size_t n, ColumnStatistic statistic,
                       const ColumnArguments& arguments, float* out) {
  std::vector<float> all(arguments.shape.query_heads * rows * n);
  attention_rows(context, q, rows, view, n, arguments, all.data());
  for (std::size_t h = 0; h < arguments.shape.query_heads; h++) {
    for (std::size_t slot = 0; slot < n; slot++) {
      double reduced = 0;
      for (std::size_t row = 0; row < rows; row++) {
        const double p = all[(h * rows + row) * n + slot];
        reduced = statistic == ColumnStatistic::sum ? reduced + p : std::max(reduced, p);
      }
      out[h * n + slot] = static_cast<float>(reduced);
    }
  }
}

}  // namespace kvsift

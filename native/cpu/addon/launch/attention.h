#pragma once

#include "kvsift/attention.h"
#include "launch/kv_view.h"

namespace kvsift::launch {

struct AttentionOptions {
  AttentionShape shape;
  /** i32 [rows]: needed with a window. */
  std::optional<Tensor> positions;
};

struct Attended {
  Tensor output;
  std::optional<Tensor> log_sum_exp;
};
/** `column_sums`: f32 [query_heads, at least the entries], added to; of one uniform segment. */
Attended attention(Backend& backend, const Tensor& q, std::vector<Segment> segments, const AttentionOptions& options, bool log_sum_exp,
                   const std::optional<Tensor>& column_sums = {});

struct ColumnOptions : AttentionOptions {
  ColumnMask mask = ColumnMask::causal;
  std::size_t behind = 0;
  std::optional<Tensor> log_sum_exp;
};
Tensor attention_columns(Backend& backend, const Tensor& q, const View& view, ColumnStatistic statistic, const ColumnOptions& options);
Tensor attention_rows(Backend& backend, const Tensor& q, const View& view, const ColumnOptions& options);

}  // namespace kvsift::launch

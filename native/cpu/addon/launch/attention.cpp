#include "launch/attention.h"

#include <array>
#include <cmath>

#include "launch/check.h"

namespace kvsift::launch {

namespace {

void check_query(const char* op, const Tensor& q, const View& view, const AttentionOptions& options) {
  const AttentionShape& shape = options.shape;
  expect_matrix(op, "q", q);
  demand(shape.query_heads >= 1 && shape.query_heads % view.kv_heads == 0, op, "the KV heads cannot share the query heads");
  if (q.shape[1] != shape.query_heads * view.head_dim) fail_shape(op, "q does not have the columns of the heads");
  demand(std::isfinite(shape.scale) && std::isfinite(shape.softcap) && shape.softcap >= 0 && shape.window >= 0, op, "scale, softcap or window is impossible");
  if (options.positions) expect(op, "positions", *options.positions, DType::i32, {q.shape[0]});
  if (shape.window == 0) return;
  demand(options.positions.has_value(), op, "a sliding window needs the positions of the queries");
  demand(view.positions.has_value(), op, "a sliding window needs a cache that keeps positions");
}

/** Inputs of the two ops that give probabilities. */
std::vector<Tensor> column_inputs(const char* op, const Tensor& q, const View& view, const ColumnOptions& options) {
  check_view(op, view);
  check_query(op, q, view, options);
  demand(options.behind <= view.max_length, op, "more entries behind than there are");
  demand(options.mask == ColumnMask::none || q.shape[0] + options.behind <= view.max_length, op, "more causal rows than entries");
  std::vector<Tensor> inputs{q};
  add_inputs(view, inputs);
  if (options.positions) inputs.push_back(*options.positions);
  if (options.log_sum_exp) {
    expect(op, "logSumExp", *options.log_sum_exp, DType::f32, {q.shape[0], options.shape.query_heads});
    inputs.push_back(*options.log_sum_exp);
  }
  return inputs;
}

ColumnArguments column_arguments(const ColumnOptions& options) {
  ColumnArguments out;
  out.shape = options.shape;
  out.mask = options.mask;
  out.behind = options.behind;
  out.positions = options.positions ? options.positions->integers() : nullptr;
  out.log_sum_exp = options.log_sum_exp ? options.log_sum_exp->floats() : nullptr;
  return out;
}

/** Attention of one segment that adds up columns. Its log-sum-exp is needed in any case. */
void submit_with_columns(Backend& backend, const Tensor& q, const std::vector<Segment>& segments, const AttentionOptions& options, std::vector<Tensor> inputs,
                         const Attended& out, const Tensor& sums) {
  demand(segments.size() == 1, "attention", "columnSums are of one segment");
  const View view = segments[0].view;
  expect_matrix("attention", "columnSums", sums);
  if (sums.shape[0] != options.shape.query_heads || sums.shape[1] < view.max_length) fail_shape("attention", "columnSums do not have room for the entries");
  const Tensor log_sum_exp = out.log_sum_exp ? *out.log_sum_exp : backend.make("attention", DType::f32, {q.shape[0], options.shape.query_heads});
  inputs.push_back(sums);
  const std::array outputs{out.output, log_sum_exp, sums};
  backend.submit("attention", inputs, outputs, [=, compute = backend.compute()](Context& context) {
    attention_with_columns(context, compute, resolve_uniform(context, "attention", view), q.shape[0], q.floats(), options.shape,
                           options.positions ? options.positions->integers() : nullptr, out.output.out(), log_sum_exp.out(), view.max_length, sums.out(),
                           sums.shape[1]);
  });
}

}  // namespace

Attended attention(Backend& backend, const Tensor& q, std::vector<Segment> segments, const AttentionOptions& options, bool log_sum_exp,
                   const std::optional<Tensor>& column_sums) {
  demand(!segments.empty(), "attention", "attention: needs at least one segment");
  expect_matrix("attention", "q", q);
  std::vector<Tensor> inputs{q};
  std::size_t rows = 0;
  for (const Segment& segment : segments) {
    check_view("attention", segment.view);
    check_query("attention", q, segment.view, options);
    demand(segment.view.kv_heads == segments[0].view.kv_heads && segment.view.head_dim == segments[0].view.head_dim, "attention",
           "attention: the segments must agree");
    add_inputs(segment.view, inputs);
    if (segment.rows > q.shape[0]) fail_shape("attention", "the segments have more rows than q");
    rows += segment.rows;
  }
  if (rows != q.shape[0]) fail_shape("attention", "the segments do not have the rows of q");
  if (options.positions) inputs.push_back(*options.positions);
  Attended out{backend.make("attention", DType::f32, q.shape), {}};
  std::vector<Tensor> outputs{out.output};
  if (log_sum_exp) {
    out.log_sum_exp = backend.make("attention", DType::f32, {q.shape[0], options.shape.query_heads});
    outputs.push_back(*out.log_sum_exp);
  }
  if (column_sums) {
    submit_with_columns(backend, q, segments, options, std::move(inputs), out, *column_sums);
    return out;
  }
  const std::size_t count = segments.size();
  backend.submit("attention", inputs, outputs,
                 [=, segments = std::move(segments), resolved = std::vector<KvSegment>(count), compute = backend.compute()](Context& context) mutable {
                   for (std::size_t i = 0; i < count; i++) resolved[i] = {resolve(context, "attention", segments[i].view, 0), segments[i].rows};
                   kvsift::attention(context, compute, resolved, q.floats(), options.shape, options.positions ? options.positions->integers() : nullptr,
                                     out.output.out(), out.log_sum_exp ? out.log_sum_exp->out() : nullptr);
                 });
  return out;
}

Tensor attention_columns(Backend& backend, const Tensor& q, const View& view, ColumnStatistic statistic, const ColumnOptions& options) {
  const std::vector<Tensor> inputs = column_inputs("attentionColumns", q, view, options);
  const Tensor out = backend.make("attentionColumns", DType::f32, {options.shape.query_heads, view.max_length});
  backend.submit("attentionColumns", inputs, std::span(&out, 1), [=, compute = backend.compute()](Context& context) {
    kvsift::attention_columns(context, compute, q.floats(), q.shape[0], resolve_uniform(context, "attentionColumns", view), view.max_length, statistic,
                              column_arguments(options), out.out());
  });
  return out;
}

Tensor attention_rows(Backend& backend, const Tensor& q, const View& view, const ColumnOptions& options) {
  const std::vector<Tensor> inputs = column_inputs("attentionRows", q, view, options);
  const Tensor out = backend.make("attentionRows", DType::f32, {options.shape.query_heads, q.shape[0], view.max_length});
  backend.submit("attentionRows", inputs, std::span(&out, 1), [=, compute = backend.compute()](Context& context) {
    kvsift::attention_rows(context, compute, q.floats(), q.shape[0], resolve_uniform(context, "attentionRows", view), view.max_length, column_arguments(options),
                           out.out());
  });
  return out;
}

}  // namespace kvsift::launch

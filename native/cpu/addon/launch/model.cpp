#include "launch/model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "launch/algebra.h"
#include "launch/check.h"
#include "launch/host.h"
#include "launch/weight.h"

namespace kvsift::launch {

namespace {

/**
 * Lets go of what an op made for the next one: a program may give its memory away, as where JavaScript lets go of it. Takes it over: the stream may be ahead
 * of its caller, and a copy that the caller still had would keep the memory beyond its turn.
 */
void let_go(Backend& backend, Tensor&& passing) {
  backend.hold(passing);
  backend.let_go(std::move(passing));
}

/** A product with a matrix that was not loaded for products, for instance one that a policy computed. */
Tensor linear_plain(Backend& backend, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<Tensor>& residual) {
  const bool plain = weight.dtype == DType::f32 && !weight.storage->weight;
  Tensor floats = plain ? weight : dequantize(backend, weight);
  Tensor out = matmul(backend, x, floats, true);
  if (!plain) let_go(backend, std::move(floats));
  for (const std::optional<Tensor>& addend : {bias, residual}) {
    if (!addend) continue;
    Tensor sum = zip(backend, ops::BinaryOp::add, out, *addend);
    let_go(backend, std::move(out));
    out = std::move(sum);
  }
  return out;
}

/** The sizes of products that exist for a while, of some values of one query head at a time. */
Tensor norms_of_pieces(Backend& backend, const Tensor& values, const Tensor& weight, Norm norm) {
  constexpr std::size_t rows = 2048;
  const bool plain = weight.dtype == DType::f32 && !weight.storage->weight;
  Tensor floats = plain ? weight : dequantize(backend, weight);
  const std::size_t entries = values.shape[1];
  const std::size_t depth = values.shape[2];
  const std::size_t heads = weight.shape[1] / depth;
  // Where products may be rounded they are those of a weight.
  const bool exact = folds_products || backend.compute() == Compute::f32;
  const Tensor flat = reshape(values, {values.shape[0] * entries, depth});
  std::vector<Tensor> sums;
  for (std::size_t head = 0; head < heads; head++) {
    Tensor own = slice(backend, floats, 1, head * depth, (head + 1) * depth);
    const std::size_t first = head / (heads / values.shape[0]) * entries;
    for (std::size_t row = 0; row < entries; row += rows) {
      Tensor part = slice(backend, flat, 0, first + row, first + std::min(entries, row + rows));
      Tensor product = exact ? matmul(backend, part, own, true) : linear(backend, part, own, {}, {}, false);
      let_go(backend, std::move(part));
      Tensor sizes = map(backend, norm == Norm::l1 ? ops::UnaryOp::abs : ops::UnaryOp::square, product);
      let_go(backend, std::move(product));
      sums.push_back(reduce(backend, ReduceOp::sum, sizes, 1));
      let_go(backend, std::move(sizes));
    }
    let_go(backend, std::move(own));
  }
  if (!plain) let_go(backend, std::move(floats));
  Tensor all = reshape(concat(backend, sums, 0), {heads, entries});
  for (Tensor& sum : sums) let_go(backend, std::move(sum));
  if (norm == Norm::l1) return all;
  Tensor out = map(backend, ops::UnaryOp::sqrt, all);
  let_go(backend, std::move(all));
  return out;
}

}  // namespace

Tensor embedding(Backend& backend, const Tensor& table, const Tensor& ids, float scale) {
  expect_weight("embedding", table);
  expect_dtype("embedding", "ids", ids, DType::i32);
  demand(ids.shape.rank() == 1, "embedding", "embedding: ids must be a vector");
  const std::size_t rows = table.shape[0];
  const Tensor out = backend.make("embedding", DType::f32, {ids.count(), table.shape[1]});
  backend.submit("embedding", {table, ids}, {out}, [=](Context& context) {
    WeightSource room;
    const std::ptrdiff_t wrong = kvsift::embedding(context, matrix_sources(table, room), ids.integers(), ids.count(), scale, out.out());
    if (wrong >= 0) {
      throw Fault(Code::invalid_argument, "embedding",
                  "embedding: id " + std::to_string(ids.integers()[wrong]) + " is not in a table of " + std::to_string(rows) + " rows");
    }
  });
  return out;
}

Tensor rms_norm(Backend& backend, const Tensor& x, const Tensor& weight, float epsilon, float weight_offset) {
  expect_dtype("rmsNorm", "x", x, DType::f32);
  expect("rmsNorm", "weight", weight, DType::f32, {x.shape.back()});
  const Tensor out = backend.make("rmsNorm", DType::f32, x.shape);
  backend.submit("rmsNorm", {x, weight}, {out}, [=](Context& context) {
    const std::size_t columns = x.shape.back();
    const std::size_t rows = columns == 0 ? 0 : x.count() / columns;
    kvsift::rms_norm(context, x.floats(), rows, columns, weight.floats(), epsilon, weight_offset, out.out());
  });
  return out;
}

Tensor linear(Backend& backend, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<Tensor>& residual, bool apart) {
  expect_matrix("linear", "x", x);
  expect_weight("linear", weight);
  const std::size_t rows = x.shape[0];
  const std::size_t outputs = weight.shape[0];
  if (weight.shape[1] != x.shape[1]) fail_shape("linear", "x " + format(x.shape) + " does not fit the weight " + format(weight.shape));
  if (bias) expect("linear", "bias", *bias, DType::f32, {outputs});
  if (residual) expect("linear", "residual", *residual, DType::f32, {rows, outputs});
  if (!takes_products(weight)) return linear_plain(backend, x, weight, bias, residual);
  const Tensor out = backend.make("linear", DType::f32, {rows, outputs});
  std::vector<Tensor> inputs{x, weight};
  if (bias) inputs.push_back(*bias);
  if (residual) inputs.push_back(*residual);
  backend.submit("linear", inputs, std::span(&out, 1), [=, compute = backend.compute()](Context& context) {
    if (out.count() == 0) return;
    product(context, compute, weight, x.floats(), rows, apart, bias ? bias->floats() : nullptr, residual ? residual->floats() : nullptr, out.out());
  });
  return out;
}

Tensor feed_forward(Backend& backend, const Tensor& x, const FeedForwardWeights& weights, const FeedForwardOptions& options) {
  constexpr auto op = "feedForward";
  expect_matrix(op, "x", x);
  expect_weight(op, weights.gate_up);
  expect_weight(op, weights.down);
  const std::size_t rows = x.shape[0];
  const std::size_t hidden = x.shape[1];
  const std::size_t inner = weights.gate_up.shape[0] / 2;
  const std::size_t outputs = weights.down.shape[0];
  expect(op, "norm", weights.norm, DType::f32, {hidden});
  expect_shape(op, "gateUp", weights.gate_up, {2 * inner, hidden});
  expect_shape(op, "down", weights.down, {outputs, inner});
  if (weights.gate_up_bias) expect(op, "gateUpBias", *weights.gate_up_bias, DType::f32, {2 * inner});
  if (weights.down_bias) expect(op, "downBias", *weights.down_bias, DType::f32, {outputs});
  if (options.residual) expect(op, "residual", *options.residual, DType::f32, {rows, outputs});
  if (!(folds_products && takes_products(weights.gate_up) && takes_products(weights.down))) {
    Tensor normed = rms_norm(backend, x, weights.norm, options.epsilon, options.weight_offset);
    Tensor halves = linear(backend, normed, weights.gate_up, weights.gate_up_bias, {}, options.apart);
    let_go(backend, std::move(normed));
    Tensor middle = gated(backend, halves, options.activation);
    let_go(backend, std::move(halves));
    Tensor out = linear(backend, middle, weights.down, weights.down_bias, options.residual, options.apart);
    let_go(backend, std::move(middle));
    return out;
  }
  const Tensor out = backend.make(op, DType::f32, {rows, outputs});
  Tensor middle = backend.make(op, DType::f32, {rows, inner});
  // The norm is done with before the first result is there.
  const std::size_t even = (hidden + 1) / 2 * 2;
  Tensor normed = outputs >= even ? out : backend.make(op, DType::f32, {rows, even});
  std::vector<Tensor> inputs{x, weights.norm, weights.gate_up, weights.down};
  for (const std::optional<Tensor>& more : {weights.gate_up_bias, weights.down_bias, options.residual}) {
    if (more) inputs.push_back(*more);
  }
  const std::array made{out, middle, normed};
  backend.submit(op, inputs, made, [=, compute = backend.compute()](Context& context) {
    if constexpr (folds_products) {
      if (out.count() > 0) fed_forward(context, compute, weights, options, x, normed, middle, out);
    }
  });
  if (outputs < even) let_go(backend, std::move(normed));
  let_go(backend, std::move(middle));
  return out;
}

Tensor projected_norms(Backend& backend, const Tensor& values, const Tensor& weight, Norm norm) {
  constexpr auto op = "projectedNorms";
  expect_dtype(op, "values", values, DType::f32);
  expect_weight(op, weight);
  demand(values.shape.rank() == 3 && values.shape[0] > 0 && values.shape[2] > 0, op, "values must be [kvHeads, n, headDim]");
  demand(weight.shape[0] > 0, op, "the weight must have outputs");
  const std::size_t entries = values.shape[1];
  const std::size_t columns = weight.shape[1];
  const std::size_t heads = columns / values.shape[2];
  if (columns % values.shape[2] != 0 || heads == 0 || heads % values.shape[0] != 0) {
    fail_shape(op, "the columns of the weight " + format(weight.shape) + " are not those of query heads that share the heads of " + format(values.shape));
  }
  if (entries > 0 && !(folds_products && takes_products(weight))) return norms_of_pieces(backend, values, weight, norm);
  const Tensor out = backend.make(op, DType::f32, {heads, entries});
  backend.submit(op, {values, weight}, {out}, [=, compute = backend.compute()](Context& context) {
    if constexpr (folds_products) {
      if (out.count() > 0) norms_of_products(context, compute, weight, {values.floats(), values.shape[0], entries, values.shape[2]}, norm, out.out());
    }
  });
  return out;
}

Tensor gated(Backend& backend, const Tensor& x, Activation activation) {
  expect_matrix("gated", "x", x);
  demand(x.shape[1] % 2 == 0, "gated", "gated: x needs an even number of columns");
  const Tensor out = backend.make("gated", DType::f32, {x.shape[0], x.shape[1] / 2});
  backend.submit("gated", {x}, {out}, [=](Context& context) { kvsift::gated(context, x.floats(), x.shape[0], x.shape[1] / 2, activation, out.out()); });
  return out;
}

Tensor softcap(Backend& backend, const Tensor& x, float cap) {
  expect_dtype("softcap", "x", x, DType::f32);
  demand(cap > 0 && std::isfinite(cap), "softcap", "softcap: cap must be positive");
  const Tensor out = backend.make("softcap", DType::f32, x.shape);
  backend.submit("softcap", {x}, {out}, [=](Context& context) { kvsift::softcap(context, x.floats(), x.count(), cap, out.out()); });
  return out;
}

std::vector<Tensor> split_columns(Backend& backend, const Tensor& x, std::span<const std::size_t> widths) {
  expect_matrix("splitColumns", "x", x);
  const std::size_t rows = x.shape[0];
  std::size_t left = x.shape[1];
  std::vector<Tensor> out;
  for (const std::size_t width : widths) {
    if (width > left) fail_shape("splitColumns", "the widths sum to more than the columns");
    left -= width;
    out.push_back(backend.make("splitColumns", DType::f32, {rows, width}));
  }
  if (left != 0) fail_shape("splitColumns", "the widths sum to less than the columns");
  std::vector<std::size_t> sizes(widths.begin(), widths.end());
  backend.submit("splitColumns", std::span(&x, 1), out,
                 [=, sizes = std::move(sizes), parts = out, pointers = std::vector<float*>(out.size())](Context& context) mutable {
                   for (std::size_t i = 0; i < parts.size(); i++) pointers[i] = parts[i].out();
                   kvsift::split_columns(context, x.floats(), rows, sizes, pointers);
                 });
  return out;
}

Tensor rope(Backend& backend, const Tensor& x, const Tensor& positions, std::size_t heads, const Tensor& inverse_frequencies, float scale) {
  expect_matrix("rope", "x", x);
  expect("rope", "positions", positions, DType::i32, {x.shape[0]});
  expect_dtype("rope", "inverseFrequencies", inverse_frequencies, DType::f32);
  const std::size_t rotary = 2 * inverse_frequencies.count();
  if (heads == 0 || x.shape[1] % heads != 0 || inverse_frequencies.shape.rank() != 1 || rotary > x.shape[1] / heads) {
    fail_shape("rope", format(x.shape) + " is not made of heads that hold " + std::to_string(rotary / 2) + " pairs");
  }
  const Tensor out = backend.make("rope", DType::f32, x.shape);
  backend.submit("rope", {x, positions, inverse_frequencies}, {out}, [=](Context& context) {
    kvsift::rope(context, x.floats(), x.shape[0], heads, x.shape[1] / heads, positions.integers(), inverse_frequencies.floats(), rotary, scale, out.out());
  });
  return out;
}

Sampled sample(Backend& backend, const Tensor& logits, std::vector<SamplingRule> rules) {
  expect_matrix("sample", "logits", logits);
  const std::size_t rows = logits.shape[0];
  const std::size_t vocabulary = logits.shape[1];
  demand(rules.size() == rows, "sample", "sample: every row needs a rule");
  demand(vocabulary > 0 && vocabulary < (std::size_t{1} << 31), "sample", "sample: the vocabulary must not be empty");
  const Sampled out{backend.make("sample", DType::i32, {rows}), backend.make("sample", DType::f32, {rows})};
  backend.submit("sample", {logits}, {out.ids, out.log_probs}, [=, rules = std::move(rules)](Context& context) {
    kvsift::sample(context, logits.floats(), rows, vocabulary, rules.data(), out.ids.integers(), out.log_probs.out());
  });
  return out;
}

}  // namespace kvsift::launch

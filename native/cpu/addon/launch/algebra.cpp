#include "launch/algebra.h"

#include "launch/check.h"
#include "ops/broadcast.h"
#include "ops/covariance.h"
#include "ops/layout.h"
#include "ops/matmul.h"

namespace kvsift::launch {

namespace {

void expect_axis(const char* op, const Tensor& x, std::size_t axis) { demand(axis < x.shape.rank(), op, "the axis does not exist"); }

using RowsOp = void (*)(Context&, const float*, std::size_t, std::size_t, float*);

/** An op along the last axis. */
Tensor along_rows(Backend& backend, const char* name, const Tensor& x, RowsOp run) {
  expect_dtype(name, "x", x, DType::f32);
  demand(x.shape.rank() >= 1, name, "x needs an axis");
  const Tensor out = backend.make(name, DType::f32, x.shape);
  backend.submit(name, {x}, {out}, [=](Context& context) {
    const std::size_t columns = x.shape.back();
    run(context, x.floats(), x.shape.product(0, x.shape.rank() - 1), columns, out.out());
  });
  return out;
}

Shape leading(const Shape& shape) {
  Shape lead;
  for (std::size_t axis = 0; axis + 2 < shape.rank(); axis++) lead.push(shape[axis]);
  return lead;
}

}  // namespace

Tensor map(Backend& backend, ops::UnaryOp op, const Tensor& x) {
  expect_dtype("map", "x", x, DType::f32);
  const Tensor out = backend.make("map", DType::f32, x.shape);
  backend.submit("map", {x}, {out}, [=](Context& context) { ops::map(context, op, x.floats(), x.count(), out.out()); });
  return out;
}

Tensor zip(Backend& backend, ops::BinaryOp op, const Tensor& a, const Tensor& b) {
  expect_dtype("zip", "a", a, DType::f32);
  expect_dtype("zip", "b", b, DType::f32);
  Shape shape;
  if (!ops::broadcast(a.shape, b.shape, shape)) fail_shape("zip", format(a.shape) + " and " + format(b.shape) + " do not broadcast");
  const Tensor out = backend.make("zip", DType::f32, shape);
  backend.submit("zip", {a, b}, {out}, [=](Context& context) { ops::zip(context, op, a.floats(), a.shape, b.floats(), b.shape, shape, out.out()); });
  return out;
}

Tensor zip(Backend& backend, ops::BinaryOp op, const Tensor& a, float b) {
  expect_dtype("zip", "a", a, DType::f32);
  const Tensor out = backend.make("zip", DType::f32, a.shape);
  backend.submit("zip", {a}, {out}, [=](Context& context) { ops::zip(context, op, a.floats(), b, a.count(), out.out()); });
  return out;
}

Tensor reduce(Backend& backend, ReduceOp op, const Tensor& x, std::size_t axis) {
  expect_dtype("reduce", "x", x, DType::f32);
  expect_axis("reduce", x, axis);
  Shape shape;
  for (std::size_t own = 0; own < x.shape.rank(); own++) {
    if (own != axis) shape.push(x.shape[own]);
  }
  const Tensor out = backend.make("reduce", DType::f32, shape);
  backend.submit("reduce", {x}, {out}, [=](Context& context) {
    ops::reduce(context, op, x.floats(), x.shape.product(0, axis), x.shape[axis], x.shape.product(axis + 1, x.shape.rank()), out.out());
  });
  return out;
}

Tensor evaluate(Backend& backend, const std::vector<Tensor>& tensors, std::vector<ops::FormulaStep> steps, int axis, ReduceOp op) {
  demand(!tensors.empty() && tensors.size() <= ops::most_operands, "evaluate", "the formula needs 1 to 32 tensors");
  demand(!steps.empty() && steps.size() <= ops::most_operands, "evaluate", "the formula needs 1 to 32 ops");
  ops::Formula formula;
  for (const Tensor& tensor : tensors) {
    expect_dtype("evaluate", "every tensor", tensor, DType::f32);
    formula.tensors.push_back(tensor.shape);
    if (!ops::broadcast(formula.whole, tensor.shape, formula.whole)) fail_shape("evaluate", "the tensors do not broadcast");
  }
  for (std::size_t at = 0; at < steps.size(); at++) {
    demand(steps[at].a < tensors.size() + at && steps[at].b.value_or(0) < tensors.size() + at, "evaluate", "an op stands before its operand");
  }
  formula.steps = std::move(steps);
  Shape shape;
  const int rank = static_cast<int>(formula.whole.rank());
  demand(axis < rank && (axis < 0 || axis >= rank - 2), "evaluate", "the axis is none of the last two");
  for (int own = 0; own < rank; own++) {
    if (own != axis) shape.push(formula.whole[static_cast<std::size_t>(own)]);
  }
  const auto along = axis < 0 ? ops::Along::nothing : axis == rank - 1 ? ops::Along::columns : ops::Along::rows;
  const Tensor out = backend.make("evaluate", DType::f32, shape);
  backend.submit("evaluate", tensors, std::span(&out, 1), [=](Context& context) {
    std::vector<const float*> values;
    for (const Tensor& tensor : tensors) values.push_back(tensor.floats());
    ops::evaluate(context, formula, values, along, op, out.out());
  });
  return out;
}

Tensor softmax(Backend& backend, const Tensor& x) { return along_rows(backend, "softmax", x, ops::softmax); }
Tensor cumsum(Backend& backend, const Tensor& x) { return along_rows(backend, "cumsum", x, ops::cumsum); }

Tensor rank(Backend& backend, const Tensor& x) {
  demand(x.shape.back() < (std::size_t{1} << 32), "rank", "a row is too long");
  return along_rows(backend, "rank", x, ops::rank);
}

Tensor pool(Backend& backend, ops::PoolKind kind, const Tensor& x, std::size_t kernel_size) {
  expect_dtype("pool", "x", x, DType::f32);
  demand(x.shape.rank() >= 1, "pool", "x needs an axis");
  demand(kernel_size % 2 == 1, "pool", "the kernel size must be odd");
  const Tensor out = backend.make("pool", DType::f32, x.shape);
  backend.submit("pool", {x}, {out}, [=](Context& context) {
    ops::pool(context, kind, x.floats(), x.shape.product(0, x.shape.rank() - 1), x.shape.back(), kernel_size, out.out());
  });
  return out;
}

Tensor matmul(Backend& backend, const Tensor& a, const Tensor& b, bool transpose_b, bool coarse) {
  expect_dtype("matmul", "a", a, DType::f32);
  if (b.dtype != DType::f16 && b.dtype != DType::bf16) expect_dtype("matmul", "b", b, DType::f32);
  demand(!b.storage->weight, "matmul", "b must not be a weight");
  const std::size_t a_rank = a.shape.rank();
  const std::size_t b_rank = b.shape.rank();
  demand(a_rank >= 2 && b_rank >= 2, "matmul", "both operands need two axes");
  ops::MatmulShape sizes;
  sizes.rows = a.shape[a_rank - 2];
  sizes.inner = a.shape[a_rank - 1];
  sizes.columns = b.shape[transpose_b ? b_rank - 2 : b_rank - 1];
  sizes.transpose_b = transpose_b;
  const std::size_t inner = b.shape[transpose_b ? b_rank - 1 : b_rank - 2];
  if (inner != sizes.inner || !ops::broadcast(leading(a.shape), leading(b.shape), sizes.lead)) {
    fail_shape("matmul", format(a.shape) + " x " + format(b.shape) + (transpose_b ? " transposed" : "") + " do not fit");
  }
  sizes.a_steps = ops::broadcast_steps(leading(a.shape), sizes.lead);
  sizes.b_steps = ops::broadcast_steps(leading(b.shape), sizes.lead);
  Shape shape = sizes.lead;
  shape.push(sizes.rows);
  shape.push(sizes.columns);
  const Tensor out = backend.make("matmul", DType::f32, shape);
  backend.submit("matmul", {a, b}, {out}, [=, compute = backend.compute()](Context& context) {
    ops::matmul(context, compute, coarse, sizes, a.floats(), {b.storage->data(), b.dtype}, out.out());
  });
  return out;
}

Moments covariance(Backend& backend, const Tensor& x, std::size_t heads, std::size_t first) {
  expect_matrix("covariance", "x", x);
  const std::size_t columns = x.shape[1];
  demand(first < x.shape[0], "covariance", "there are no rows");
  demand(heads > 0 && columns > 0 && columns % heads == 0, "covariance", "the heads do not share the columns");
  const std::size_t dim = columns / heads;
  const Moments out{backend.make("covariance", DType::f32, {heads, dim}), backend.make("covariance", DType::f32, {heads, dim, dim})};
  backend.submit("covariance", {x}, {out.mean, out.covariance}, [=, compute = backend.compute()](Context& context) {
    ops::covariance(context, compute, x.floats() + first * columns, x.shape[0] - first, heads, dim, out.mean.out(), out.covariance.out());
  });
  return out;
}

Tensor slice(Backend& backend, const Tensor& x, std::size_t axis, std::size_t start, std::size_t end) {
  expect_elements("slice", "x", x);
  expect_axis("slice", x, axis);
  demand(start <= end && end <= x.shape[axis], "slice", "the range lies outside the axis");
  Shape shape = x.shape;
  shape[axis] = end - start;
  const Tensor out = backend.make("slice", x.dtype, shape);
  backend.submit("slice", {x}, {out}, [=](Context& context) {
    const std::size_t piece = x.shape.product(axis + 1, x.shape.rank()) * block_layout(x.dtype).bytes;
    ops::copy_pieces(context, static_cast<const std::byte*>(x.storage->data()) + start * piece, x.shape[axis] * piece, out.storage->data(),
                     (end - start) * piece, (end - start) * piece, x.shape.product(0, axis));
  });
  return out;
}

Tensor concat(Backend& backend, std::span<const Tensor> parts, std::size_t axis) {
  demand(!parts.empty(), "concat", "needs at least one part");
  const Tensor& first = parts[0];
  expect_elements("concat", "part 0", first);
  expect_axis("concat", first, axis);
  Shape shape = first.shape;
  shape[axis] = 0;
  for (const Tensor& part : parts) {
    expect_dtype("concat", "every part", part, first.dtype);
    expect_axis("concat", part, axis);
    Shape expected = first.shape;
    expected[axis] = part.shape[axis];
    expect_shape("concat", "every part", part, expected);
    shape[axis] += part.shape[axis];
  }
  const Tensor out = backend.make("concat", first.dtype, shape);
  backend.submit("concat", parts, std::span(&out, 1), [out, axis, parts = std::vector<Tensor>(parts.begin(), parts.end())](Context& context) {
    const std::size_t piece = out.shape.product(axis + 1, out.shape.rank()) * block_layout(out.dtype).bytes;
    std::size_t at = 0;
    for (const Tensor& part : parts) {
      const std::size_t width = part.shape[axis] * piece;
      ops::copy_pieces(context, part.storage->data(), width, static_cast<std::byte*>(out.storage->data()) + at, out.shape[axis] * piece, width,
                       out.shape.product(0, axis));
      at += width;
    }
  });
  return out;
}

Tensor transpose(Backend& backend, const Tensor& x, const Shape& order) {
  expect_elements("transpose", "x", x);
  demand(order.rank() == x.shape.rank(), "transpose", "the order must name each axis once");
  Shape shape;
  unsigned seen = 0;
  for (std::size_t axis = 0; axis < order.rank(); axis++) {
    demand(order[axis] < order.rank() && (seen >> order[axis] & 1u) == 0, "transpose", "the order must name each axis once");
    seen |= 1u << order[axis];
    shape.push(x.shape[order[axis]]);
  }
  const Tensor out = backend.make("transpose", x.dtype, shape);
  backend.submit("transpose", {x}, {out}, [=](Context& context) {
    ops::transpose(context, x.storage->data(), block_layout(x.dtype).bytes, x.shape, order, out.storage->data());
  });
  return out;
}

Tensor to_float(Backend& backend, const Tensor& x) {
  expect_elements("toFloat", "x", x);
  const Tensor out = backend.make("toFloat", DType::f32, x.shape);
  backend.submit("toFloat", {x}, {out}, [=](Context& context) { ops::to_float(context, x.dtype, x.storage->data(), x.count(), out.out()); });
  return out;
}

Tensor to_int(Backend& backend, const Tensor& x) {
  expect_dtype("toInt", "x", x, DType::f32);
  const Tensor out = backend.make("toInt", DType::i32, x.shape);
  backend.submit("toInt", {x}, {out}, [=](Context& context) { ops::to_int(context, x.floats(), x.count(), out.integers()); });
  return out;
}

}  // namespace kvsift::launch

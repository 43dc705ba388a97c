// The algebra of native/cpu/addon/ops on the kernels of the device.
#include <algorithm>
#include <cstddef>
#include <vector>

#include "kvsift/context.h"
#include "ops/covariance.h"
#include "ops/elementwise.h"
#include "ops/formula.h"
#include "ops/layout.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/rows.h"
#include "runtime/device_scratch.h"

namespace kvsift::ops {

namespace {

/** Numbers of up to four axes, the last ones of a shape; the others are `rest`. */
struct Four {
  std::size_t values[4];
  Four(const Shape& shape, std::size_t rest) {
    for (std::size_t axis = 0; axis < 4; axis++) values[axis] = axis + shape.rank() < 4 ? rest : shape[axis + shape.rank() - 4];
  }
};

/** Whether products on tensor cores, three kernels for each matrix, are faster than one kernel for all of them in f32. */
bool worth_rounding(const MatmulShape& shape) { return shape.rows > 8 && shape.rows * shape.inner * shape.columns >= std::size_t{1} << 18; }

/** Operands rounded to bf16: each matrix as a product with a weight, which b is, or its transpose. */
void matmul_rounded(Context& context, const kvsift_cuda_matmul_shape& shape, const float* a, const Stored& b, float* out) {
  const std::size_t size = b.type == DType::f32 ? 4 : 2;
  const DeviceScratch turned(context, shape.transpose_b ? 0 : shape.inner * shape.columns * size);
  const std::size_t axes[4] = {1, 1, shape.inner, shape.columns};
  const std::size_t order[4] = {0, 1, 3, 2};
  for (std::size_t at = 0; at < shape.lead[0] * shape.lead[1]; at++) {
    const std::size_t outer = at / shape.lead[1];
    const std::size_t inner = at % shape.lead[1];
    const float* left = a + (outer * shape.a_steps[0] + inner * shape.a_steps[1]) * shape.rows * shape.inner;
    const void* right = static_cast<const std::byte*>(b.data) + (outer * shape.b_steps[0] + inner * shape.b_steps[1]) * shape.inner * shape.columns * size;
    if (!shape.transpose_b) context.run(kvsift_cuda_transpose(context.kernels(), context.stream(), right, size, axes, order, turned.data()));
    const kvsift_cuda_weight weight{static_cast<kvsift_cuda_dtype>(b.type), shape.transpose_b ? right : turned.data(), shape.columns, shape.inner, 1};
    context.run(kvsift_cuda_linear(context.kernels(), context.stream(), &weight, left, shape.rows, nullptr, nullptr, out + at * shape.rows * shape.columns));
  }
}

}  // namespace

// The enumerations have the order of the C interface.
void map(Context& context, UnaryOp op, const float* x, std::size_t count, float* out) {
  context.run(kvsift_cuda_map(context.kernels(), context.stream(), static_cast<kvsift_cuda_unary_op>(op), x, count, out));
}

void zip(Context& context, BinaryOp op, const float* a, const Shape& a_shape, const float* b, const Shape& b_shape, const Shape& shape, float* out) {
  const Four a_steps(broadcast_steps(a_shape, shape), 0);
  const Four b_steps(broadcast_steps(b_shape, shape), 0);
  context.run(kvsift_cuda_zip(context.kernels(), context.stream(), static_cast<kvsift_cuda_binary_op>(op), a, a_steps.values, b, b_steps.values,
                              Four(shape, 1).values, out));
}

void zip(Context& context, BinaryOp op, const float* a, float b, std::size_t count, float* out) {
  context.run(kvsift_cuda_zip_scalar(context.kernels(), context.stream(), static_cast<kvsift_cuda_binary_op>(op), a, b, count, out));
}

void evaluate(Context& context, const Formula& formula, const std::vector<const float*>& tensors, Along along, ReduceOp op, float* out) {
  std::vector<kvsift_cuda_formula_tensor> own_tensors;
  for (std::size_t at = 0; at < tensors.size(); at++) {
    const Four steps(broadcast_steps(formula.tensors[at], formula.whole), 0);
    own_tensors.push_back({tensors[at], {steps.values[0], steps.values[1], steps.values[2], steps.values[3]}});
  }
  std::vector<kvsift_cuda_formula_step> own_steps;
  for (const FormulaStep& step : formula.steps) {
    own_steps.push_back({step.unary ? 1 : 0, static_cast<kvsift_cuda_unary_op>(step.map), static_cast<kvsift_cuda_binary_op>(step.zip), step.a,
                         step.b.value_or(KVSIFT_CUDA_FORMULA_NUMBER), step.number});
  }
  const Four shape(formula.whole, 1);
  const kvsift_cuda_formula own{own_tensors.data(), own_steps.data(), own_tensors.size(), own_steps.size(),
                                {shape.values[0], shape.values[1], shape.values[2], shape.values[3]}};
  const auto axis = along == Along::nothing   ? KVSIFT_CUDA_FORMULA_WHOLE
                    : along == Along::columns ? KVSIFT_CUDA_FORMULA_COLUMNS
                                              : KVSIFT_CUDA_FORMULA_ROWS;
  context.run(kvsift_cuda_evaluate(context.kernels(), context.stream(), &own, axis, static_cast<kvsift_cuda_reduce_op>(op), out));
}

void to_float(Context& context, DType type, const void* x, std::size_t count, float* out) {
  context.run(kvsift_cuda_to_float(context.kernels(), context.stream(), static_cast<kvsift_cuda_dtype>(type), x, count, out));
}

void to_int(Context& context, const float* x, std::size_t count, std::int32_t* out) {
  context.run(kvsift_cuda_to_int(context.kernels(), context.stream(), x, count, out));
}

void copy_pieces(Context& context, const void* from, std::size_t from_stride, void* to, std::size_t to_stride, std::size_t bytes, std::size_t rows) {
  context.run(kvsift_cuda_copy_pieces(context.kernels(), context.stream(), from, from_stride, to, to_stride, bytes, rows));
}

void transpose(Context& context, const void* x, std::size_t size, const Shape& shape, const Shape& order, void* out) {
  // Axes that are not there come first and stay first.
  const std::size_t missing = 4 - shape.rank();
  std::size_t axes[4] = {0, 1, 2, 3};
  for (std::size_t axis = 0; axis < order.rank(); axis++) axes[missing + axis] = missing + order[axis];
  context.run(kvsift_cuda_transpose(context.kernels(), context.stream(), x, size, Four(shape, 1).values, axes, out));
}

void matmul(Context& context, Compute compute, bool coarse, const MatmulShape& shape, const float* a, const Stored& b, float* out) {
  kvsift_cuda_matmul_shape own{};
  own.rows = shape.rows;
  own.inner = shape.inner;
  own.columns = shape.columns;
  own.transpose_b = shape.transpose_b ? 1 : 0;
  for (std::size_t axis = 0; axis < 2; axis++) {
    const bool there = axis + shape.lead.rank() >= 2;
    const std::size_t at = axis + shape.lead.rank() - 2;
    own.lead[axis] = there ? shape.lead[at] : 1;
    own.a_steps[axis] = there ? shape.a_steps[at] : 0;
    own.b_steps[axis] = there ? shape.b_steps[at] : 0;
  }
  if (coarse && compute == Compute::bf16 && worth_rounding(shape)) return matmul_rounded(context, own, a, b, out);
  context.run(kvsift_cuda_matmul(context.kernels(), context.stream(), &own, a, static_cast<kvsift_cuda_dtype>(b.type), b.data, out));
}

void covariance(Context& context, Compute compute, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float* mean, float* out) {
  constexpr std::size_t piece = 1024;   // rows that one thread adds up
  constexpr std::size_t at_once = 4096; // rows whose differences from the mean exist at a time: of a long prompt all of them would be gigabytes
  const std::size_t columns = heads * head_dim;
  const std::size_t pieces = rows / piece;
  const DeviceScratch sums(context, (pieces + 1) * columns * sizeof(float));
  reduce(context, ReduceOp::sum, x, pieces, piece, columns, sums.floats());
  reduce(context, ReduceOp::sum, x + pieces * piece * columns, 1, rows % piece, columns, sums.floats() + pieces * columns);
  reduce(context, ReduceOp::sum, sums.floats(), 1, pieces + 1, columns, mean);
  zip(context, BinaryOp::div, mean, static_cast<float>(rows), columns, mean);
  const DeviceScratch turned(context, std::min(rows, at_once) * columns * sizeof(float));
  const DeviceScratch part(context, rows > at_once ? columns * head_dim * sizeof(float) : 0);
  for (std::size_t first = 0; first < rows; first += at_once) {
    const std::size_t count = std::min(at_once, rows - first);
    transpose(context, x + first * columns, sizeof(float), {count, heads, head_dim}, {1, 2, 0}, turned.floats());
    zip(context, BinaryOp::sub, turned.floats(), {columns, count}, mean, {columns, 1}, {columns, count}, turned.floats());
    matmul(context, compute, true, {head_dim, count, head_dim, true, {heads}, {1}, {1}}, turned.floats(), {turned.floats()}, first == 0 ? out : part.floats());
    if (first > 0) zip(context, BinaryOp::add, out, {columns, head_dim}, part.floats(), {columns, head_dim}, {columns, head_dim}, out);
  }
  zip(context, BinaryOp::div, out, static_cast<float>(rows), columns * head_dim, out);
}

void uniform(Context& context, const RandomKey& key, std::size_t rows, std::size_t columns, float* out) {
  context.run(kvsift_cuda_uniform(context.kernels(), context.stream(), {key.seed, key.sequence, key.layer, key.purpose}, rows, columns, out));
}

void reduce(Context& context, ReduceOp op, const float* x, std::size_t before, std::size_t size, std::size_t after, float* out) {
  context.run(kvsift_cuda_reduce(context.kernels(), context.stream(), static_cast<kvsift_cuda_reduce_op>(op), x, before, size, after, out));
}

void softmax(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  context.run(kvsift_cuda_softmax(context.kernels(), context.stream(), x, rows, columns, out));
}

void cumsum(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  context.run(kvsift_cuda_cumsum(context.kernels(), context.stream(), x, rows, columns, out));
}

void rank(Context& context, const float* x, std::size_t rows, std::size_t columns, float* out) {
  context.run(kvsift_cuda_rank(context.kernels(), context.stream(), x, rows, columns, out));
}

void pool(Context& context, PoolKind kind, const float* x, std::size_t rows, std::size_t columns, std::size_t kernel_size, float* out) {
  context.run(kvsift_cuda_pool(context.kernels(), context.stream(), static_cast<kvsift_cuda_pool_kind>(kind), x, rows, columns, kernel_size, out));
}

}  // namespace kvsift::ops

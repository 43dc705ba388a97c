#pragma once

#include <span>

#include "launch/backend.h"
#include "ops/elementwise.h"
#include "ops/formula.h"
#include "ops/reduce.h"
#include "ops/rows.h"

namespace kvsift::launch {

// The algebra of packages/tensor/src/backend.ts: each checks its arguments (@throws Fault), enqueues and returns the result.

Tensor map(Backend& backend, ops::UnaryOp op, const Tensor& x);
Tensor zip(Backend& backend, ops::BinaryOp op, const Tensor& a, const Tensor& b);
Tensor zip(Backend& backend, ops::BinaryOp op, const Tensor& a, float b);
Tensor reduce(Backend& backend, ReduceOp op, const Tensor& x, std::size_t axis);
/** @param axis -1 reduces nothing */
Tensor evaluate(Backend& backend, const std::vector<Tensor>& tensors, std::vector<ops::FormulaStep> steps, int axis, ReduceOp op);
Tensor softmax(Backend& backend, const Tensor& x);
Tensor cumsum(Backend& backend, const Tensor& x);
Tensor rank(Backend& backend, const Tensor& x);
Tensor pool(Backend& backend, ops::PoolKind kind, const Tensor& x, std::size_t kernel_size);
Tensor matmul(Backend& backend, const Tensor& a, const Tensor& b, bool transpose_b, bool coarse = false);
struct Moments {
  Tensor mean;
  Tensor covariance;
};
Moments covariance(Backend& backend, const Tensor& x, std::size_t heads, std::size_t first);
Tensor slice(Backend& backend, const Tensor& x, std::size_t axis, std::size_t start, std::size_t end);
Tensor concat(Backend& backend, std::span<const Tensor> parts, std::size_t axis);
Tensor transpose(Backend& backend, const Tensor& x, const Shape& order);
Tensor to_float(Backend& backend, const Tensor& x);
Tensor to_int(Backend& backend, const Tensor& x);

}  // namespace kvsift::launch

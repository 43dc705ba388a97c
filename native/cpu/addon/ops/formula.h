#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "kvsift/elementwise.h"
#include "ops/reduce.h"
#include "runtime/tensor.h"

namespace kvsift::ops {

/** Most tensors of a formula, and most steps. */
inline constexpr std::size_t most_operands = 32;

/** One op of a formula. Operands are its tensors, then the steps before. */
struct FormulaStep {
  bool unary;
  UnaryOp map;
  BinaryOp zip;
  std::size_t a;
  /** Absent: `number` stands in its place, where the op takes two. */
  std::optional<std::size_t> b;
  float number;
};

/** What `evaluate` computes: the last step, whose shape is `whole`. */
struct Formula {
  std::vector<Shape> tensors;
  std::vector<FormulaStep> steps;
  Shape whole;
};

/** Which axis goes. */
enum class Along { nothing, columns, rows };

/** Each step as `map` and `zip` compute it; then, along an axis, what `reduce` gives. `tensors` are in the order of their shapes. */
void evaluate(Context& context, const Formula& formula, const std::vector<const float*>& tensors, Along along, ReduceOp op, float* out);

}  // namespace kvsift::ops

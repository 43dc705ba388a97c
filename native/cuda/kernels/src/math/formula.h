#pragma once

#include "math/rows.h"

// A formula element by element: a list of ops, each on tensors, on results of ops before it, or on a number.
namespace kvsift::KVSIFT_TARGET {

constexpr unsigned most_formula_operands = KVSIFT_CUDA_FORMULA_MOST;

/** How an op names what it works on: a tensor by its number, a kept result by its slot behind `first_slot`, or the number of the op. */
constexpr unsigned char first_slot = most_formula_operands;
constexpr unsigned char number_operand = 255;
/** Ops of two operands come behind those of one. */
constexpr unsigned char first_binary = KVSIFT_CUDA_ISFINITE + 1;

struct FormulaOp {
  unsigned char op;
  unsigned char a;
  unsigned char b;
  unsigned char to;  // slot of the result; of the last op unused
  float number;
};

/** What a kernel computes for each place of `size`; an axis that is reduced away has size 1 there. */
struct FormulaPlan {
  struct Source {
    const float* x;
    std::size_t steps[4];
  };
  Source tensors[most_formula_operands];
  FormulaOp ops[most_formula_operands];
  int op_count;
  std::size_t size[4];
};

/** A place of the result, by axis. */
struct FormulaPlace {
  std::size_t at[4];
};

KVSIFT_BOTH FormulaPlace formula_place(const FormulaPlan& plan, std::size_t index) {
  FormulaPlace place;
  for (int axis = 3; axis >= 0; axis--) {
    // Divisions are what this costs; most formulas have one axis that counts.
    const std::size_t size = plan.size[axis];
    place.at[axis] = size == 1 ? 0 : index % size;
    if (size != 1) index /= size;
  }
  return place;
}

/** @param slots results that are kept, `stride` apart */
KVSIFT_BOTH float formula_operand(const FormulaPlan& plan, unsigned char operand, float number, const FormulaPlace& place, const float* slots, unsigned stride) {
  if (operand == number_operand) return number;
  if (operand >= first_slot) return slots[(operand - first_slot) * stride];
  const FormulaPlan::Source& source = plan.tensors[operand];
  std::size_t from = 0;
  for (int axis = 0; axis < 4; axis++) from += place.at[axis] * source.steps[axis];
  return source.x[from];
}

/** The bits that `map` and `zip` give, one op after the other. */
KVSIFT_BOTH float formula_value(const FormulaPlan& plan, const FormulaPlace& place, float* slots, unsigned stride) {
  for (int i = 0;; i++) {
    const FormulaOp& op = plan.ops[i];
    const float a = formula_operand(plan, op.a, op.number, place, slots, stride);
    float value;
    if (op.op < first_binary) {
      value = apply_unary(static_cast<kvsift_cuda_unary_op>(op.op), a);
    } else {
      value = apply_binary(static_cast<kvsift_cuda_binary_op>(op.op - first_binary), a, formula_operand(plan, op.b, op.number, place, slots, stride));
    }
    if (i == plan.op_count - 1) return value;
    slots[op.to * stride] = value;
  }
}

}  // namespace kvsift::KVSIFT_TARGET

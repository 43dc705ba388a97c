#pragma once

#include "launch/context.h"
#include "math/formula.h"

namespace kvsift::KVSIFT_TARGET {

/** The formula as a kernel goes through it. @throws Refusal where it is none */
struct FormulaLaunch {
  FormulaPlan plan{};
  /** Results that are kept at once, one float per thread each. */
  std::size_t slots = 0;
};
FormulaLaunch plan_formula(const Launch& launch, const kvsift_cuda_formula& formula);

void evaluate(const Launch& launch, const kvsift_cuda_formula& formula, kvsift_cuda_formula_along along, kvsift_cuda_reduce_op op, float* out);

}  // namespace kvsift::KVSIFT_TARGET

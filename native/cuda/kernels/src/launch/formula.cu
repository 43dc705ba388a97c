#include "launch/formula.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/formula.cuh"

namespace kvsift::KVSIFT_TARGET {

namespace {

/** Slots of results, each of which is kept until the last op that reads it has run. */
class Slots {
 public:
  explicit Slots(const kvsift_cuda_formula& formula) : tensors_(formula.tensor_count), last_use_(formula.step_count, 0) {
    for (std::size_t at = 0; at < formula.step_count; at++) {
      use(formula.steps[at].a, at);
      if (!formula.steps[at].is_unary) use(formula.steps[at].b, at);
    }
  }

  /** For the result of step `at`. An op may write over what it reads: it has read before. */
  unsigned char take(std::size_t at) {
    const auto free = std::find_if(busy_until_.begin(), busy_until_.end(), [&](std::size_t until) { return until <= at; });
    places_[at] = static_cast<unsigned char>(free - busy_until_.begin());
    if (free == busy_until_.end()) busy_until_.push_back(last_use_[at]);
    else *free = last_use_[at];
    return places_[at];
  }
  unsigned char name(std::size_t operand) const {
    if (operand == KVSIFT_CUDA_FORMULA_NUMBER) return number_operand;
    return static_cast<unsigned char>(operand < tensors_ ? operand : first_slot + places_[operand - tensors_]);
  }
  std::size_t count() const { return busy_until_.size(); }

 private:
  void use(std::size_t operand, std::size_t at) {
    if (operand != KVSIFT_CUDA_FORMULA_NUMBER && operand >= tensors_) last_use_[operand - tensors_] = at;
  }

  std::size_t tensors_;
  std::vector<std::size_t> last_use_;
  std::vector<std::size_t> busy_until_;
  std::array<unsigned char, most_formula_operands> places_{};
};

void check_steps(const Launch& launch, const kvsift_cuda_formula& formula) {
  const auto between = [](std::size_t count) { return count >= 1 && count <= most_formula_operands; };
  launch.require(between(formula.tensor_count) && between(formula.step_count), KVSIFT_CUDA_UNSUPPORTED,
                 "a formula has 1 to " + std::to_string(most_formula_operands) + " tensors and ops");
  for (std::size_t at = 0; at < formula.step_count; at++) {
    const kvsift_cuda_formula_step& step = formula.steps[at];
    const bool known = step.is_unary ? step.unary >= KVSIFT_CUDA_EXP && step.unary <= KVSIFT_CUDA_ISFINITE
                                     : step.binary >= KVSIFT_CUDA_ADD && step.binary <= KVSIFT_CUDA_LESS;
    launch.require(known, KVSIFT_CUDA_INVALID_ARGUMENT, "step " + std::to_string(at) + " is no such op");
    const std::size_t operands = formula.tensor_count + at;
    launch.require(step.a < operands && (step.is_unary || step.b == KVSIFT_CUDA_FORMULA_NUMBER || step.b < operands), KVSIFT_CUDA_INVALID_ARGUMENT,
                   "step " + std::to_string(at) + " stands before its operand");
  }
}

/** Makes one axis of two where every tensor goes through them as through one. @return whether that is so */
bool join_axes(FormulaPlan& plan, std::size_t tensors, int into, int from) {
  const bool one = plan.size[from] == 1 || plan.size[into] == 1 || std::all_of(plan.tensors, plan.tensors + tensors, [&](const auto& source) {
    return source.steps[into] == source.steps[from] * plan.size[from];
  });
  if (!one) return false;
  for (std::size_t at = 0; at < tensors; at++) {
    auto& steps = plan.tensors[at].steps;
    if (plan.size[from] == 1) steps[from] = steps[into];
    steps[into] = 0;
  }
  plan.size[from] *= plan.size[into];
  plan.size[into] = 1;
  return true;
}

}  // namespace

FormulaLaunch plan_formula(const Launch& launch, const kvsift_cuda_formula& formula) {
  check_steps(launch, formula);
  FormulaLaunch out;
  FormulaPlan& plan = out.plan;
  for (std::size_t at = 0; at < formula.tensor_count; at++) {
    plan.tensors[at].x = formula.tensors[at].x;
    std::copy_n(formula.tensors[at].steps, 4, plan.tensors[at].steps);
  }
  std::copy_n(formula.shape, 4, plan.size);
  plan.op_count = static_cast<int>(formula.step_count);
  Slots slots(formula);
  for (std::size_t at = 0; at < formula.step_count; at++) {
    const kvsift_cuda_formula_step& step = formula.steps[at];
    FormulaOp& op = plan.ops[at];
    op.op = static_cast<unsigned char>(step.is_unary ? static_cast<int>(step.unary) : first_binary + static_cast<int>(step.binary));
    op.a = slots.name(step.a);
    op.b = step.is_unary ? number_operand : slots.name(step.b);
    op.number = step.number;
    if (at + 1 < formula.step_count) op.to = slots.take(at);
  }
  out.slots = slots.count();
  return out;
}

void evaluate(const Launch& launch, const kvsift_cuda_formula& formula, kvsift_cuda_formula_along along, kvsift_cuda_reduce_op op, float* out) {
  FormulaLaunch made = plan_formula(launch, formula);
  launch.require(along == KVSIFT_CUDA_FORMULA_WHOLE || along == KVSIFT_CUDA_FORMULA_COLUMNS || along == KVSIFT_CUDA_FORMULA_ROWS,
                 KVSIFT_CUDA_INVALID_ARGUMENT, "no such axis");
  launch.require(op >= KVSIFT_CUDA_REDUCE_SUM && op <= KVSIFT_CUDA_REDUCE_VARIANCE, KVSIFT_CUDA_INVALID_ARGUMENT, "no such reduction");
  FormulaPlan& plan = made.plan;
  const int axis = along == KVSIFT_CUDA_FORMULA_COLUMNS ? 3 : 2;
  const std::size_t size = plan.size[axis];
  if (along != KVSIFT_CUDA_FORMULA_WHOLE) plan.size[axis] = 1;
  const std::size_t count = plan.size[0] * plan.size[1] * plan.size[2] * plan.size[3];
  if (count == 0) return;
  launch.pointer(out, "out", 4);
  if (along == KVSIFT_CUDA_FORMULA_WHOLE || size > 0) {
    for (std::size_t at = 0; at < formula.tensor_count; at++) launch.pointer(plan.tensors[at].x, "a tensor", 4);
  }
  const auto room = [&](unsigned threads) { return made.slots * threads * sizeof(float); };
  const Grid elements{blocks_for(launch, count, formula_threads), 1, 1};
  if (along == KVSIFT_CUDA_FORMULA_WHOLE) {
    for (int into = 2; into >= 0 && join_axes(plan, formula.tensor_count, into, 3); into--) {
    }
    return launch.start_early(formula_values, elements, formula_threads, room(formula_threads), plan, count, out);
  }
  // As `reduce` divides the work: the order of a sum decides its last bits.
  switch (reduce_way(size, along == KVSIFT_CUDA_FORMULA_ROWS ? plan.size[3] : 1, count)) {
    case ReduceWay::strip: {
      const Grid strips{blocks_for(launch, plan.size[0] * plan.size[1] * ceil_div(plan.size[3], 32), 1), 1, 1};
      return launch.start_early(formula_strips, strips, strip_threads, room(strip_threads), plan, op, size, out);
    }
    case ReduceWay::alone: return launch.start_early(formula_across, elements, formula_threads, room(formula_threads), plan, op, size, count, out);
    default:
      launch.start_early(formula_axis, Grid{blocks_for(launch, count, formula_threads / 32), 1, 1}, formula_threads, room(formula_threads), plan, op, axis, size,
                         count, out);
  }
}

}  // namespace kvsift::KVSIFT_TARGET

#include <memory>

#include "check.h"
#include "math/formula.h"

namespace KVSIFT_TEST_SPACE {

namespace {

namespace math = kvsift::KVSIFT_TARGET;

constexpr std::size_t number = KVSIFT_CUDA_FORMULA_NUMBER;

kvsift_cuda_formula_step unary(kvsift_cuda_unary_op op, std::size_t a) { return {1, op, KVSIFT_CUDA_ADD, a, number, 0}; }
kvsift_cuda_formula_step binary(kvsift_cuda_binary_op op, std::size_t a, std::size_t b) { return {0, KVSIFT_CUDA_EXP, op, a, b, 0}; }
kvsift_cuda_formula_step with_number(kvsift_cuda_binary_op op, std::size_t a, float b) { return {0, KVSIFT_CUDA_EXP, op, a, number, b}; }

struct Shape {
  std::size_t size[4];
  std::size_t count() const { return size[0] * size[1] * size[2] * size[3]; }
};

/** A formula over tensors whose axes are whole or 1, and its memory. */
struct Made {
  Made(Shape whole, const std::vector<Shape>& shapes, std::vector<kvsift_cuda_formula_step> own_steps) : shape(whole), steps(std::move(own_steps)) {
    unsigned seed = 60;
    for (const Shape& own : shapes) {
      auto values = Numbers(seed++).normal(own.count());
      // What ops pass on or make of nothing shows in its neighbours too.
      for (std::size_t i = 0; i < values.size(); i += 7) values[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : 0.0F;
      memory.push_back(std::make_unique<Buffer<float>>(values));
      kvsift_cuda_formula_tensor tensor{memory.back()->get(), {}};
      std::size_t step = 1;
      for (int axis = 3; axis >= 0; axis--) {
        tensor.steps[axis] = own.size[axis] == 1 ? 0 : step;
        step *= own.size[axis];
      }
      tensors.push_back(tensor);
    }
  }
  kvsift_cuda_formula formula() const {
    return {tensors.data(), steps.data(), tensors.size(), steps.size(), {shape.size[0], shape.size[1], shape.size[2], shape.size[3]}};
  }

  Shape shape;
  std::vector<kvsift_cuda_formula_step> steps;
  std::vector<std::unique_ptr<Buffer<float>>> memory;
  std::vector<kvsift_cuda_formula_tensor> tensors;
};

std::vector<std::int32_t> bits(const std::vector<float>& values) {
  std::vector<std::int32_t> out(values.size());
  // A NaN is a NaN, whichever.
  for (std::size_t i = 0; i < values.size(); i++) {
    const float value = std::isnan(values[i]) ? NAN : values[i];
    std::memcpy(&out[i], &value, sizeof value);
  }
  return out;
}

/** What map and zip give, one after the other, each of the whole shape. */
std::vector<std::unique_ptr<Buffer<float>>> step_by_step(const Made& made) {
  const Shape& whole = made.shape;
  const std::size_t own_steps[4] = {whole.size[1] * whole.size[2] * whole.size[3], whole.size[2] * whole.size[3], whole.size[3], 1};
  std::vector<std::unique_ptr<Buffer<float>>> results;
  const auto of = [&](std::size_t operand) {
    if (operand < made.tensors.size()) return std::pair{made.tensors[operand].x, made.tensors[operand].steps};
    return std::pair{static_cast<const float*>(results[operand - made.tensors.size()]->get()), own_steps};
  };
  for (const auto& step : made.steps) {
    auto out = std::make_unique<Buffer<float>>(whole.count());
    const auto [a, a_steps] = of(step.a);
    if (step.is_unary || step.b == number) {
      Buffer<float> spread(whole.count());
      // max(a, a) is a, of the whole shape.
      good(kvsift_cuda_zip(context(), nullptr, KVSIFT_CUDA_MAX, a, a_steps, a, a_steps, whole.size, spread.get()));
      if (step.is_unary) good(kvsift_cuda_map(context(), nullptr, step.unary, spread.get(), whole.count(), out->get()));
      else good(kvsift_cuda_zip_scalar(context(), nullptr, step.binary, spread.get(), step.number, whole.count(), out->get()));
      static_cast<void>(spread.read());
    } else {
      const auto [b, b_steps] = of(step.b);
      good(kvsift_cuda_zip(context(), nullptr, step.binary, a, a_steps, b, b_steps, whole.size, out->get()));
    }
    results.push_back(std::move(out));
  }
  return results;
}

/** Compares `evaluate`, whole and with every reduction of both axes. */
void expect_steps(const Made& made, const std::string& what) {
  const auto formula = made.formula();
  const auto results = step_by_step(made);
  const Shape& shape = made.shape;
  Buffer<float> whole(shape.count());
  good(kvsift_cuda_evaluate(context(), nullptr, &formula, KVSIFT_CUDA_FORMULA_WHOLE, KVSIFT_CUDA_REDUCE_SUM, whole.get()));
  expect_same(bits(whole.read()), bits(results.back()->read()), what + ", whole");
  for (int op = KVSIFT_CUDA_REDUCE_SUM; op <= KVSIFT_CUDA_REDUCE_VARIANCE; op++) {
    const auto reduction = static_cast<kvsift_cuda_reduce_op>(op);
    const std::size_t lead = shape.size[0] * shape.size[1];
    for (const bool columns : {true, false}) {
      const std::size_t before = columns ? lead * shape.size[2] : lead;
      const std::size_t after = columns ? 1 : shape.size[3];
      Buffer<float> want(before * after);
      Buffer<float> got(before * after);
      good(kvsift_cuda_reduce(context(), nullptr, reduction, results.back()->get(), before, columns ? shape.size[3] : shape.size[2], after, want.get()));
      good(kvsift_cuda_evaluate(context(), nullptr, &formula, columns ? KVSIFT_CUDA_FORMULA_COLUMNS : KVSIFT_CUDA_FORMULA_ROWS, reduction, got.get()));
      expect_same(bits(got.read()), bits(want.read()), what + (columns ? ", columns, op " : ", rows, op ") + std::to_string(op));
    }
  }
}

/** e^(x − y) / ((x − y)² + 0.5), where x − y is one step, then every op once more. */
std::vector<kvsift_cuda_formula_step> steps_of_two() {
  std::vector<kvsift_cuda_formula_step> steps{binary(KVSIFT_CUDA_SUB, 0, 1), unary(KVSIFT_CUDA_EXP, 2), unary(KVSIFT_CUDA_SQUARE, 2),
                                              with_number(KVSIFT_CUDA_ADD, 4, 0.5F), binary(KVSIFT_CUDA_DIV, 3, 5)};
  for (const auto op : {KVSIFT_CUDA_SQRT, KVSIFT_CUDA_ABS, KVSIFT_CUDA_NEG, KVSIFT_CUDA_RECIPROCAL, KVSIFT_CUDA_FLOOR, KVSIFT_CUDA_LOG}) {
    steps.push_back(unary(op, 1 + steps.size()));
    steps.push_back(binary(KVSIFT_CUDA_MAX, 1 + steps.size(), 2));
  }
  for (const auto op : {KVSIFT_CUDA_MUL, KVSIFT_CUDA_MIN, KVSIFT_CUDA_ADD}) steps.push_back(binary(op, 1 + steps.size(), 0));
  steps.push_back(unary(KVSIFT_CUDA_ISFINITE, 1 + steps.size()));
  steps.push_back(with_number(KVSIFT_CUDA_LESS, 1 + steps.size(), 1));
  steps.push_back(binary(KVSIFT_CUDA_ADD, 1 + steps.size(), 6));
  return steps;
}

}  // namespace

KVSIFT_TEST(formulas, "evaluate: the bits of map, zip and reduce, over broadcast axes of odd sizes") {
  expect_steps({{2, 3, 33, 65}, {{2, 1, 33, 65}, {1, 3, 1, 65}}, steps_of_two()}, "four axes");
  expect_steps({{1, 5, 40, 7}, {{1, 5, 40, 7}, {1, 5, 40, 1}}, steps_of_two()}, "narrow");
  expect_steps({{1, 1, 300, 32}, {{1, 1, 300, 32}, {1, 1, 300, 32}}, steps_of_two()}, "equal shapes");
  expect_steps({{2, 1, 300, 45}, {{2, 1, 300, 45}, {2, 1, 300, 1}}, steps_of_two()}, "strips");
  expect_steps({{3, 1, 1, 1000}, {{1, 1, 1, 1000}, {3, 1, 1, 1}}, steps_of_two()}, "rows of one");
  expect_steps({{1, 2, 1, 1}, {{1, 1, 1, 1}, {1, 2, 1, 1}}, {unary(KVSIFT_CUDA_EXP, 1), binary(KVSIFT_CUDA_ADD, 0, 2)}}, "columns of one");
}

KVSIFT_TEST(long_formulas, "evaluate: as many tensors, steps and kept results as there may be") {
  constexpr std::size_t most = KVSIFT_CUDA_FORMULA_MOST;
  // 16 results that are all kept before the first is read, then sums of them.
  std::vector<kvsift_cuda_formula_step> steps;
  for (std::size_t at = 0; at < most / 2; at++) steps.push_back(binary(KVSIFT_CUDA_MUL, at, most - 1 - at));
  std::size_t sum = most;
  for (std::size_t at = 1; at < most / 2; at++) {
    steps.push_back(binary(at % 2 == 0 ? KVSIFT_CUDA_ADD : KVSIFT_CUDA_SUB, sum, most + at));
    sum = most + steps.size() - 1;
  }
  steps.push_back(unary(KVSIFT_CUDA_SQUARE, sum));
  expect(steps.size() == most, "not the most steps");
  expect_steps({{1, 1, 37, 35}, std::vector<Shape>(most, {{1, 1, 37, 35}}), steps}, "long");
  expect_steps({{1, 1, 130, 33}, std::vector<Shape>(most, {{1, 1, 130, 33}}), steps}, "long, in strips");
}

KVSIFT_TEST(formula_of_nothing, "evaluate: of no elements, and reduced over an axis of length 0") {
  Made made({{1, 1, 0, 4}}, {{{1, 1, 0, 4}}}, {unary(KVSIFT_CUDA_EXP, 0)});
  made.tensors[0].x = nullptr;
  const auto formula = made.formula();
  good(kvsift_cuda_evaluate(context(), nullptr, &formula, KVSIFT_CUDA_FORMULA_WHOLE, KVSIFT_CUDA_REDUCE_SUM, nullptr));
  Buffer<float> out(4);
  good(kvsift_cuda_evaluate(context(), nullptr, &formula, KVSIFT_CUDA_FORMULA_ROWS, KVSIFT_CUDA_REDUCE_SUM, out.get()));
  expect_same(out.read(), {0, 0, 0, 0}, "sum of nothing");
}

KVSIFT_TEST(formula_refusals, "evaluate: refuses what is no formula") {
  const auto refused = [](const Made& made, kvsift_cuda_status want, const std::string& what, int along = KVSIFT_CUDA_FORMULA_WHOLE) {
    Buffer<float> out(64);
    const auto formula = made.formula();
    const auto got = kvsift_cuda_evaluate(context(), nullptr, &formula, static_cast<kvsift_cuda_formula_along>(along), KVSIFT_CUDA_REDUCE_SUM, out.get());
    expect(got == want, what + " gave " + kvsift_cuda_status_name(got));
    expect(std::string(kvsift_cuda_message(context())).size() > 8, what + " came without a message");
  };
  const Shape shape{{1, 1, 2, 4}};
  const auto steps = std::vector{unary(KVSIFT_CUDA_EXP, 0)};
  refused({shape, {shape}, {}}, KVSIFT_CUDA_INVALID_ARGUMENT, "no step");
  refused({shape, {shape}, std::vector(33, steps[0])}, KVSIFT_CUDA_UNSUPPORTED, "33 steps");
  refused({shape, std::vector(33, shape), steps}, KVSIFT_CUDA_UNSUPPORTED, "33 tensors");
  refused({shape, {shape}, {unary(KVSIFT_CUDA_EXP, 1)}}, KVSIFT_CUDA_INVALID_ARGUMENT, "a step of itself");
  refused({shape, {shape}, {binary(KVSIFT_CUDA_ADD, 0, 1)}}, KVSIFT_CUDA_INVALID_ARGUMENT, "a second operand that is not there");
  refused({shape, {shape}, {unary(KVSIFT_CUDA_EXP, number)}}, KVSIFT_CUDA_INVALID_ARGUMENT, "a number in the first place");
  refused({shape, {shape}, {unary(static_cast<kvsift_cuda_unary_op>(9), 0)}}, KVSIFT_CUDA_INVALID_ARGUMENT, "an unknown op of one operand");
  refused({shape, {shape}, {binary(static_cast<kvsift_cuda_binary_op>(7), 0, 0)}}, KVSIFT_CUDA_INVALID_ARGUMENT, "an unknown op of two");
  refused({shape, {shape}, steps}, KVSIFT_CUDA_INVALID_ARGUMENT, "an axis that does not exist", 3);
  Made empty(shape, {shape}, steps);
  empty.tensors[0].x = nullptr;
  refused(empty, KVSIFT_CUDA_INVALID_ARGUMENT, "a tensor that is not there");
}

KVSIFT_TEST(formula_arithmetic, "formula_value: places by axis, slots that are written over what they read") {
  math::FormulaPlan plan{};
  const float x[6] = {1, 2, 3, 4, 5, 6};
  const float y[3] = {10, 20, 30};
  plan.tensors[0] = {x, {0, 0, 3, 1}};
  plan.tensors[1] = {y, {0, 0, 0, 1}};
  plan.size[0] = plan.size[1] = 1;
  plan.size[2] = 2;
  plan.size[3] = 3;
  // (x + y)² − 1, all in one slot.
  plan.ops[0] = {static_cast<unsigned char>(math::first_binary + KVSIFT_CUDA_ADD), 0, 1, 0, 0};
  plan.ops[1] = {static_cast<unsigned char>(KVSIFT_CUDA_SQUARE), math::first_slot, math::number_operand, 0, 0};
  plan.ops[2] = {static_cast<unsigned char>(math::first_binary + KVSIFT_CUDA_SUB), math::first_slot, math::number_operand, 0, 1};
  plan.op_count = 3;
  float slots[8] = {};
  for (std::size_t at = 0; at < 6; at++) {
    const float sum = x[at] + y[at % 3];
    expect(math::formula_value(plan, math::formula_place(plan, at), slots + 3, 4) == sum * sum - 1, "element " + std::to_string(at));
  }
  for (const int at : {0, 1, 2, 4, 5, 6, 7}) expect(slots[at] == 0, "a slot of another thread was written");
}

}  // namespace KVSIFT_TEST_SPACE

#include "launch/algebra.h"
#include "launch/scores.h"
#include "node/reader.h"

namespace kvsift::node {

namespace {

using ops::BinaryOp;
using ops::PoolKind;
using ops::UnaryOp;

Napi::Value map(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const auto op = reader.choice<UnaryOp>("op", {{"exp", UnaryOp::exp},
                                                {"log", UnaryOp::log},
                                                {"sqrt", UnaryOp::sqrt},
                                                {"abs", UnaryOp::abs},
                                                {"neg", UnaryOp::neg},
                                                {"square", UnaryOp::square},
                                                {"reciprocal", UnaryOp::reciprocal},
                                                {"floor", UnaryOp::floor},
                                                {"isfinite", UnaryOp::isfinite}});
  return reader.result(launch::map(reader.backend(), op, x));
}

BinaryOp binary(Reader& reader) {
  return reader.choice<BinaryOp>("op", {{"add", BinaryOp::add},
                                        {"sub", BinaryOp::sub},
                                        {"mul", BinaryOp::mul},
                                        {"div", BinaryOp::div},
                                        {"max", BinaryOp::max},
                                        {"min", BinaryOp::min},
                                        {"less", BinaryOp::less}});
}

Napi::Value zip(Reader& reader) {
  const Tensor a = reader.tensor("a");
  const Tensor b = reader.tensor("b");
  return reader.result(launch::zip(reader.backend(), binary(reader), a, b));
}

Napi::Value zip_number(Reader& reader) {
  const Tensor a = reader.tensor("a");
  const auto b = static_cast<float>(reader.number("b"));
  return reader.result(launch::zip(reader.backend(), binary(reader), a, b));
}

ReduceOp reduction(Reader& reader) {
  return reader.choice<ReduceOp>("op", {{"sum", ReduceOp::sum},
                                        {"mean", ReduceOp::mean},
                                        {"max", ReduceOp::max},
                                        {"min", ReduceOp::min},
                                        {"variance", ReduceOp::variance}});
}

Napi::Value reduce(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const std::size_t axis = reader.count("axis");
  return reader.result(launch::reduce(reader.backend(), reduction(reader), x, axis));
}

/** Steps are four numbers each: code of the op (unary ones first), operand, 0 none, 1 an operand or 2 a number, and that one. */
Napi::Value evaluate(Reader& reader) {
  constexpr auto unary = static_cast<std::size_t>(UnaryOp::isfinite) + 1;
  constexpr auto binary = static_cast<std::size_t>(BinaryOp::less) + 1;
  const std::vector<double> ids = reader.numbers("tensors");
  std::vector<Tensor> tensors;
  for (const double id : ids) tensors.push_back(reader.owner().tensor("evaluate", "a tensor", id));
  const std::vector<double> numbers = reader.numbers("steps");
  if (numbers.size() % 4 != 0) reader.refuse("steps", "must be four numbers each");
  std::vector<ops::FormulaStep> steps;
  for (std::size_t at = 0; at < numbers.size(); at += 4) {
    const std::size_t code = reader.integer("an op", numbers[at], unary + binary - 1);
    const std::size_t kind = reader.integer("the kind of an operand", numbers[at + 2], 2);
    if ((code < unary) != (kind == 0)) reader.refuse("steps", "do not have the operands that their ops take");
    ops::FormulaStep step{};
    step.unary = code < unary;
    if (step.unary) step.map = static_cast<UnaryOp>(code);
    else step.zip = static_cast<BinaryOp>(code - unary);
    step.a = reader.integer("an operand", numbers[at + 1]);
    if (kind == 1) step.b = reader.integer("an operand", numbers[at + 3]);
    else step.number = static_cast<float>(numbers[at + 3]);
    steps.push_back(step);
  }
  const double axis = reader.number("axis");
  const int checked = axis == -1 ? -1 : static_cast<int>(reader.integer("axis", axis, 3));
  return reader.result(launch::evaluate(reader.backend(), tensors, std::move(steps), checked, reduction(reader)));
}

template <Tensor (*launch)(Backend&, const Tensor&)>
Napi::Value one(Reader& reader) {
  const Tensor x = reader.tensor("x");
  return reader.result(launch(reader.backend(), x));
}

Napi::Value pool(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const std::size_t kernel_size = reader.count("kernelSize");
  const auto kind = reader.choice<PoolKind>("kind", {{"average", PoolKind::average}, {"max", PoolKind::max}});
  return reader.result(launch::pool(reader.backend(), kind, x, kernel_size));
}

Napi::Value matmul(Reader& reader) {
  const Tensor a = reader.tensor("a");
  const Tensor b = reader.tensor("b");
  const bool transpose_b = reader.flag("transposeB");
  return reader.result(launch::matmul(reader.backend(), a, b, transpose_b, reader.flag("coarse")));
}

Napi::Value covariance(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const std::size_t heads = reader.count("heads");
  const auto [mean, covariance] = launch::covariance(reader.backend(), x, heads, reader.count("first"));
  const Tensor both[] = {mean, covariance};
  return reader.results(both);
}

Napi::Value slice(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const std::size_t axis = reader.count("axis");
  const std::size_t start = reader.count("start");
  return reader.result(launch::slice(reader.backend(), x, axis, start, reader.count("end")));
}

Napi::Value concat(Reader& reader) {
  std::vector<Tensor> parts;
  for (const double id : reader.numbers("parts")) parts.push_back(reader.owner().tensor("concat", "a part", id));
  return reader.result(launch::concat(reader.backend(), parts, reader.count("axis")));
}

Napi::Value transpose(Reader& reader) {
  const Tensor x = reader.tensor("x");
  return reader.result(launch::transpose(reader.backend(), x, reader.shape("order")));
}

Napi::Value top(Reader& reader) {
  const Tensor scores = reader.tensor("scores");
  launch::TopOptions options;
  options.counts = reader.maybe_tensor("counts");
  options.keep = reader.count("keep");
  options.total = reader.count("total");
  options.max = reader.count("max");
  options.protect_first = reader.count("protectFirst");
  options.protect_last = reader.count("protectLast");
  options.protect = reader.maybe_tensor("protect");
  const auto selected = launch::top(reader.backend(), scores, options);
  const Tensor results[] = {selected.indices, selected.offsets};
  return reader.results(results);
}

Napi::Value top_shares(Reader& reader) {
  const Tensor scores = reader.tensor("scores");
  return reader.result(launch::top_shares(reader.backend(), scores, reader.count("total")));
}

Napi::Value round_shares(Reader& reader) {
  const Tensor shares = reader.tensor("shares");
  const std::size_t total = reader.count("total");
  return reader.result(launch::round_shares(reader.backend(), shares, total, reader.count("cap")));
}

Napi::Value uniform(Reader& reader) {
  const auto word = [&](const char* name) { return static_cast<std::uint32_t>(reader.count(name, 0xffffffffu)); };
  ops::RandomKey key;
  key.seed = word("seed");
  key.sequence = word("sequence");
  key.layer = word("layer");
  key.purpose = word("purpose");
  const std::size_t rows = reader.count("rows");
  return reader.result(launch::uniform(reader.backend(), key, rows, reader.count("columns")));
}

constexpr Export exports[] = {
    {"map", map},
    {"zip", zip},
    {"zipNumber", zip_number},
    {"reduce", reduce},
    {"evaluate", evaluate},
    {"softmax", one<launch::softmax>},
    {"cumsum", one<launch::cumsum>},
    {"rank", one<launch::rank>},
    {"toFloat", one<launch::to_float>},
    {"toInt", one<launch::to_int>},
    {"pool", pool},
    {"matmul", matmul},
    {"covariance", covariance},
    {"slice", slice},
    {"concat", concat},
    {"transpose", transpose},
    {"top", top},
    {"topShares", top_shares},
    {"roundShares", round_shares},
    {"uniform", uniform},
};

}  // namespace

std::span<const Export> algebra_exports() { return exports; }

}  // namespace kvsift::node

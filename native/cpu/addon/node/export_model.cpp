#include "launch/model.h"
#include "node/reader.h"

namespace kvsift::node {

namespace {

Napi::Value embedding(Reader& reader) {
  const Tensor table = reader.tensor("table");
  const Tensor ids = reader.tensor("ids");
  return reader.result(launch::embedding(reader.backend(), table, ids, static_cast<float>(reader.finite("scale"))));
}

Napi::Value rms_norm(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const Tensor weight = reader.tensor("weight");
  const auto epsilon = static_cast<float>(reader.finite("epsilon"));
  return reader.result(launch::rms_norm(reader.backend(), x, weight, epsilon, static_cast<float>(reader.finite("weightOffset"))));
}

Napi::Value linear(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const Tensor weight = reader.tensor("weight");
  const auto bias = reader.maybe_tensor("bias");
  const auto residual = reader.maybe_tensor("residual");
  return reader.result(launch::linear(reader.backend(), x, weight, bias, residual, reader.flag("apart")));
}

Activation activation(Reader& reader) {
  return reader.choice<Activation>("activation", {{"silu", Activation::silu}, {"gelu_tanh", Activation::gelu_tanh}, {"gelu", Activation::gelu}});
}

Napi::Value feed_forward(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const Tensor norm = reader.tensor("norm");
  const Tensor gate_up = reader.tensor("gateUp");
  const auto gate_up_bias = reader.maybe_tensor("gateUpBias");
  const Tensor down = reader.tensor("down");
  const auto down_bias = reader.maybe_tensor("downBias");
  const auto residual = reader.maybe_tensor("residual");
  const auto epsilon = static_cast<float>(reader.finite("epsilon"));
  const auto weight_offset = static_cast<float>(reader.finite("weightOffset"));
  const Activation act = activation(reader);
  return reader.result(launch::feed_forward(reader.backend(), x, {norm, gate_up, gate_up_bias, down, down_bias},
                                            {epsilon, weight_offset, act, residual, reader.flag("apart")}));
}

Napi::Value projected_norms(Reader& reader) {
  const Tensor values = reader.tensor("values");
  const Tensor weight = reader.tensor("weight");
  const auto norm = reader.choice<Norm>("norm", {{"l1", Norm::l1}, {"l2", Norm::l2}});
  return reader.result(launch::projected_norms(reader.backend(), values, weight, norm));
}

Napi::Value gated(Reader& reader) {
  const Tensor x = reader.tensor("x");
  return reader.result(launch::gated(reader.backend(), x, activation(reader)));
}

Napi::Value softcap(Reader& reader) {
  const Tensor x = reader.tensor("x");
  return reader.result(launch::softcap(reader.backend(), x, static_cast<float>(reader.finite("cap"))));
}

Napi::Value split_columns(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const auto widths = reader.counts("widths");
  return reader.results(launch::split_columns(reader.backend(), x, widths));
}

Napi::Value rope(Reader& reader) {
  const Tensor x = reader.tensor("x");
  const Tensor positions = reader.tensor("positions");
  const std::size_t heads = reader.count("heads");
  const Tensor inverse_frequencies = reader.tensor("inverseFrequencies");
  return reader.result(launch::rope(reader.backend(), x, positions, heads, inverse_frequencies, static_cast<float>(reader.finite("scale"))));
}

/** Rules come flat, five numbers each: temperature, topK, topP, minP, uniform. */
Napi::Value sample(Reader& reader) {
  const Tensor logits = reader.tensor("logits");
  const auto numbers = reader.numbers("rules");
  if (numbers.size() % 5 != 0) reader.refuse("rules", "must have five numbers each");
  std::vector<SamplingRule> rules;
  for (std::size_t i = 0; i < numbers.size(); i += 5) {
    SamplingRule rule;
    rule.temperature = static_cast<float>(numbers[i]);
    rule.top_k = static_cast<std::int32_t>(std::min<std::size_t>(reader.integer("topK", numbers[i + 1]), 0x7fffffff));
    rule.top_p = static_cast<float>(numbers[i + 2]);
    rule.min_p = static_cast<float>(numbers[i + 3]);
    rule.uniform = numbers[i + 4];
    const bool possible = rule.temperature >= 0 && rule.temperature < 1e30f && rule.top_p >= 0 && rule.top_p <= 1 && rule.min_p >= 0 &&
                          rule.min_p <= 1 && rule.uniform > 0 && rule.uniform < 1;
    if (!possible) reader.refuse("rules", "hold a number out of its range");
    rules.push_back(rule);
  }
  const auto sampled = launch::sample(reader.backend(), logits, std::move(rules));
  const Tensor results[] = {sampled.ids, sampled.log_probs};
  return reader.results(results);
}

constexpr Export exports[] = {
    {"embedding", embedding}, {"rmsNorm", rms_norm}, {"linear", linear}, {"feedForward", feed_forward}, {"projectedNorms", projected_norms},
    {"gated", gated},         {"softcap", softcap},  {"splitColumns", split_columns}, {"rope", rope},
    {"sample", sample},
};

}  // namespace

std::span<const Export> model_exports() { return exports; }

}  // namespace kvsift::node

#include "launch/attention.h"
#include "launch/cache.h"
#include "node/reader.h"

namespace kvsift::node {

namespace {

/** A view comes as 11 numbers: dtype, kvHeads, headDim, keys, values, lengths, starts, positions or 0, table or 0, block size, maxLength. */
constexpr std::size_t view_numbers = 11;

launch::View read_view(Reader& reader, std::span<const double> numbers) {
  const auto tensor = [&](std::size_t at, const char* name) { return reader.owner().tensor(reader.op(), name, numbers[at]); };
  const auto maybe = [&](std::size_t at, const char* name) {
    return numbers[at] == 0 ? std::nullopt : std::optional<Tensor>(tensor(at, name));
  };
  launch::View out;
  out.dtype = static_cast<DType>(reader.integer("dtype of the view", numbers[0], dtype_count - 1));
  out.kv_heads = reader.integer("kvHeads", numbers[1], 1u << 20);
  out.head_dim = reader.integer("headDim", numbers[2], 1u << 20);
  out.keys = tensor(3, "keys");
  out.values = tensor(4, "values");
  out.lengths = tensor(5, "lengths");
  out.starts = tensor(6, "starts");
  out.positions = maybe(7, "positions of the cache");
  out.table = maybe(8, "block table");
  out.block_size = reader.integer("block size", numbers[9]);
  out.max_length = reader.integer("maxLength", numbers[10]);
  return out;
}

launch::View read_view(Reader& reader) {
  const auto numbers = reader.numbers("view");
  if (numbers.size() != view_numbers) reader.refuse("view", "must have 11 numbers");
  return read_view(reader, numbers);
}

/** Segments come as a view and a number of rows each. */
std::vector<launch::Segment> read_segments(Reader& reader) {
  const auto numbers = reader.numbers("segments");
  if (numbers.size() % (view_numbers + 1) != 0) reader.refuse("segments", "must have 12 numbers each");
  std::vector<launch::Segment> out;
  for (std::size_t at = 0; at < numbers.size(); at += view_numbers + 1) {
    const auto own = std::span(numbers).subspan(at, view_numbers + 1);
    out.push_back({read_view(reader, own), reader.integer("rows", own[view_numbers])});
  }
  return out;
}

KvPart read_part(Reader& reader) { return reader.choice<KvPart>("part", {{"keys", KvPart::keys}, {"values", KvPart::values}}); }

Napi::Value kv_append(Reader& reader) {
  auto segments = read_segments(reader);
  const Tensor k = reader.tensor("k");
  const Tensor v = reader.tensor("v");
  const Tensor positions = reader.tensor("positions");
  launch::kv_append(reader.backend(), std::move(segments), k, v, positions);
  return reader.env().Undefined();
}

Napi::Value kv_gather(Reader& reader) {
  const launch::View from = read_view(reader);
  const launch::View to = read_view(reader);
  const auto indices = reader.maybe_tensor("indices");
  const auto offsets = reader.maybe_tensor("offsets");
  if (indices.has_value() != offsets.has_value()) reader.refuse("indices and offsets", "go together");
  std::optional<launch::SelectionTensors> selection;
  if (indices) selection = launch::SelectionTensors{*indices, *offsets};
  launch::kv_gather(reader.backend(), from, selection, to);
  return reader.env().Undefined();
}

Napi::Value kv_compact(Reader& reader) {
  const launch::View view = read_view(reader);
  const Tensor indices = reader.tensor("indices");
  launch::kv_compact(reader.backend(), view, {indices, reader.tensor("offsets")});
  return reader.env().Undefined();
}

Napi::Value kv_read(Reader& reader) {
  const launch::View view = read_view(reader);
  const KvPart part = read_part(reader);
  const std::size_t start = reader.count("start");
  return reader.result(launch::kv_read(reader.backend(), view, part, start, reader.count("end")));
}

Napi::Value kv_replace(Reader& reader) {
  const launch::View view = read_view(reader);
  const KvPart part = read_part(reader);
  const Tensor x = reader.tensor("x");
  launch::kv_replace(reader.backend(), view, part, x);
  return reader.env().Undefined();
}

void read_attention(Reader& reader, launch::AttentionOptions& options) {
  options.shape.query_heads = reader.count("queryHeads", 1u << 20);
  options.shape.scale = static_cast<float>(reader.finite("scale"));
  options.shape.softcap = static_cast<float>(reader.finite("softcap"));
  options.shape.window = static_cast<std::int32_t>(std::min<std::size_t>(reader.count("window"), 0x7fffffff));
  options.positions = reader.maybe_tensor("positions");
}

Napi::Value attention(Reader& reader) {
  const Tensor q = reader.tensor("q");
  auto segments = read_segments(reader);
  launch::AttentionOptions options;
  read_attention(reader, options);
  const bool log_sum_exp = reader.flag("logSumExp");
  const auto attended = launch::attention(reader.backend(), q, std::move(segments), options, log_sum_exp, reader.maybe_tensor("columnSums"));
  std::vector<Tensor> results{attended.output};
  if (attended.log_sum_exp) results.push_back(*attended.log_sum_exp);
  return reader.results(results);
}

launch::ColumnOptions read_columns(Reader& reader) {
  launch::ColumnOptions options;
  read_attention(reader, options);
  options.mask = reader.choice<ColumnMask>("mask", {{"causal", ColumnMask::causal}, {"none", ColumnMask::none}});
  options.behind = reader.count("behind");
  options.log_sum_exp = reader.maybe_tensor("logSumExp");
  if (options.mask == ColumnMask::none && options.log_sum_exp) reader.refuse("logSumExp", "is known of causal rows only");
  return options;
}

Napi::Value attention_columns(Reader& reader) {
  const Tensor q = reader.tensor("q");
  const launch::View view = read_view(reader);
  const auto statistic = reader.choice<ColumnStatistic>("statistic", {{"sum", ColumnStatistic::sum}, {"max", ColumnStatistic::max}});
  return reader.result(launch::attention_columns(reader.backend(), q, view, statistic, read_columns(reader)));
}

Napi::Value attention_rows(Reader& reader) {
  const Tensor q = reader.tensor("q");
  const launch::View view = read_view(reader);
  return reader.result(launch::attention_rows(reader.backend(), q, view, read_columns(reader)));
}

constexpr Export exports[] = {
    {"kvAppend", kv_append}, {"kvGather", kv_gather},   {"kvCompact", kv_compact}, {"kvRead", kv_read}, {"kvReplace", kv_replace},
    {"attention", attention}, {"attentionColumns", attention_columns}, {"attentionRows", attention_rows},
};

}  // namespace

std::span<const Export> cache_exports() { return exports; }

}  // namespace kvsift::node

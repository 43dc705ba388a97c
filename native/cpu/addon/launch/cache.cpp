#include "launch/cache.h"

#include "launch/check.h"

namespace kvsift::launch {

namespace {

/** Tensors of a view that say where its entries lie. */
void add_places(const View& view, std::vector<Tensor>& places) {
  places.push_back(view.starts);
  if (view.table) places.push_back(*view.table);
}

/** Tensors of a view that an op fills. */
void add_contents(const View& view, std::vector<Tensor>& outputs) {
  outputs.insert(outputs.end(), {view.keys, view.values});
  if (view.positions) outputs.push_back(*view.positions);
}

/** Checks the tensors of a selection and adds them to a list. @throws Fault */
void add_selection(const char* op, const SelectionTensors& selection, const View& from, std::vector<Tensor>& inputs) {
  if (selection.indices.shape.rank() != 1) fail_shape(op, "indices must be a vector");
  expect_dtype(op, "indices", selection.indices, DType::i32);
  expect(op, "offsets", selection.offsets, DType::i32, {from.kv_heads + 1});
  inputs.insert(inputs.end(), {selection.indices, selection.offsets});
}

/** No two tensors of a view that an op fills may be the same. @throws Fault */
void expect_own(const char* op, const View& view) {
  const Tensor targets[] = {view.keys, view.values, view.lengths};
  expect_apart(op, std::span(targets, 1), std::span(targets + 1, 2));
  if (view.positions) expect_apart(op, std::span(&*view.positions, 1), std::span(&view.lengths, 1));
}

}  // namespace

void kv_append(Backend& backend, std::vector<Segment> segments, const Tensor& k, const Tensor& v, const Tensor& positions) {
  expect_matrix("kvAppend", "k", k);
  expect("kvAppend", "v", v, DType::f32, k.shape);
  expect("kvAppend", "positions", positions, DType::i32, {k.shape[0]});
  demand(!segments.empty(), "kvAppend", "kvAppend: needs at least one segment");
  std::vector<Tensor> inputs{k, v, positions};
  std::vector<Tensor> outputs;
  std::vector<Tensor> places{positions};
  std::vector<Tensor> lengths;
  std::size_t rows = 0;
  for (const Segment& segment : segments) {
    const View& view = segment.view;
    check_view("kvAppend", view);
    demand(view.kv_heads == segments[0].view.kv_heads && view.head_dim == segments[0].view.head_dim, "kvAppend", "kvAppend: the segments must agree");
    add_inputs(view, inputs);
    add_contents(view, outputs);
    add_places(view, places);
    for (const Tensor& other : lengths) demand(other.storage != view.lengths.storage, "kvAppend", "kvAppend: a sequence appears twice");
    lengths.push_back(view.lengths);
    if (segment.rows > k.shape[0]) fail_shape("kvAppend", "the segments have more rows than k");
    rows += segment.rows;
  }
  if (rows != k.shape[0]) fail_shape("kvAppend", "the segments do not have the rows of k");
  if (k.shape[1] != segments[0].view.kv_heads * segments[0].view.head_dim) fail_shape("kvAppend", "k does not have the columns of the cache");
  expect_apart("kvAppend", outputs, places);
  expect_apart("kvAppend", lengths, places);
  expect_apart("kvAppend", outputs, lengths);
  for (const Tensor& source : {k, v}) expect_apart("kvAppend", outputs, std::span(&source, 1));
  outputs.insert(outputs.end(), lengths.begin(), lengths.end());
  const std::size_t count = segments.size();
  backend.submit("kvAppend", inputs, outputs, [=, segments = std::move(segments), resolved = std::vector<KvSegment>(count)](Context& context) mutable {
    for (std::size_t i = 0; i < count; i++) resolved[i] = {resolve(context, "kvAppend", segments[i].view, segments[i].rows), segments[i].rows};
    kvsift::kv_append(context, resolved, k.floats(), v.floats(), positions.integers());
  });
}

void kv_gather(Backend& backend, const View& from, const std::optional<SelectionTensors>& selection, const View& to) {
  check_view("kvGather", from);
  check_view("kvGather", to);
  demand(from.kv_heads == to.kv_heads && from.head_dim == to.head_dim, "kvGather", "kvGather: both views must have the same heads");
  demand(!to.positions || from.positions, "kvGather", "kvGather: the target keeps positions, the source does not");
  std::vector<Tensor> inputs;
  add_inputs(from, inputs);
  std::vector<Tensor> outputs;
  add_contents(to, outputs);
  outputs.push_back(to.lengths);
  if (selection) add_selection("kvGather", *selection, from, inputs);
  add_places(to, inputs);
  expect_apart("kvGather", outputs, inputs);
  expect_own("kvGather", to);
  backend.submit("kvGather", inputs, outputs, [=](Context& context) { gather(context, from, selection, to); });
}

void kv_compact(Backend& backend, const View& view, const SelectionTensors& selection) {
  check_view("kvCompact", view);
  std::vector<Tensor> inputs;
  add_selection("kvCompact", selection, view, inputs);
  add_places(view, inputs);
  std::vector<Tensor> outputs;
  add_contents(view, outputs);
  outputs.push_back(view.lengths);
  expect_apart("kvCompact", outputs, inputs);
  expect_own("kvCompact", view);
  add_inputs(view, inputs);
  backend.submit("kvCompact", inputs, outputs, [=](Context& context) { compact(context, view, selection); });
}

Tensor kv_read(Backend& backend, const View& view, KvPart part, std::size_t start, std::size_t end) {
  check_view("kvRead", view);
  demand(start <= end && end <= view.max_length, "kvRead", "kvRead: the view has no such entries");
  std::vector<Tensor> inputs;
  add_inputs(view, inputs);
  const Tensor out = backend.make("kvRead", DType::f32, {view.kv_heads, end - start, view.head_dim});
  backend.submit("kvRead", inputs, std::span(&out, 1),
                 [=](Context& context) { kvsift::kv_read(context, resolve_uniform(context, "kvRead", view), part, start, end - start, out.out()); });
  return out;
}

void kv_replace(Backend& backend, const View& view, KvPart part, const Tensor& x) {
  check_view("kvReplace", view);
  expect("kvReplace", "x", x, DType::f32, {view.kv_heads, view.max_length, view.head_dim});
  std::vector<Tensor> inputs{x};
  add_inputs(view, inputs);
  const Tensor target = part == KvPart::keys ? view.keys : view.values;
  expect_apart("kvReplace", std::span(&target, 1), std::span(&x, 1));
  backend.submit("kvReplace", inputs, std::span(&target, 1),
                 [=](Context& context) { kvsift::kv_replace(context, resolve_uniform(context, "kvReplace", view), part, view.max_length, x.floats()); });
}

}  // namespace kvsift::launch

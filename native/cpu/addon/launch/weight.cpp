#include "launch/weight.h"

#include "launch/check.h"

namespace kvsift::launch {

namespace {

/** Checks one source by itself and gives the rows that it brings. */
std::size_t check_source(const Source& source, Role role, std::size_t columns) {
  const bool vector = role == Role::vector;
  const auto fail = [&](Code code, const char* sentence) { throw Fault(code, "load", "load: " + source.name + " " + sentence); };
  if (source.dtype == DType::i32 || source.dtype == DType::u8) fail(Code::dtype_mismatch, "holds no floats");
  if (source.shape.rank() != (vector ? 1u : 2u) || (!vector && source.shape[1] != columns)) fail(Code::shape_mismatch, "does not fit its role");
  if (tensor_bytes("load", source.dtype, source.shape) != source.bytes) fail(Code::invalid_argument, "has another number of bytes than its shape needs");
  if (!source.reordered) return source.shape[0];
  if (vector && !is_element(source.dtype)) fail(Code::invalid_argument, "is a vector of blocks, which cannot be reordered");
  for (const std::int32_t row : source.row_order) {
    if (row < 0 || static_cast<std::size_t>(row) >= source.shape[0]) fail(Code::invalid_argument, "has no such row");
  }
  return source.row_order.size();
}

/** Opens the file and points at the rows of a source. `order` must outlive the result. */
WeightSource open_source(MappedFiles& files, const Source& source, Role role, const std::vector<std::int32_t>& order,
                         std::vector<std::shared_ptr<MappedFile>>& held) {
  held.push_back(files.open(source.path));
  WeightSource out;
  out.type = source.dtype;
  out.data = held.back()->range(source.offset, source.bytes, source.name);
  // A vector is one row, or as many as it has values where they change places.
  const bool one_row = role == Role::vector && !source.reordered;
  out.columns = role == Role::vector ? (one_row ? source.shape[0] : 1) : source.shape[1];
  out.rows = source.reordered ? order.size() : one_row ? 1 : source.shape[0];
  out.row_order = source.reordered ? order.data() : nullptr;
  return out;
}

/** Whoever loads waits for it, so the failure is theirs alone. */
void submit_load(Backend& backend, const Tensor& out, std::function<void(Context&)> run) {
  Op op;
  op.name = "load";
  op.outputs = {out.storage};
  op.run = std::move(run);
  op.reports = false;
  backend.stream().push(std::move(op));
}

Tensor load_vector(Backend& backend, std::vector<Source> sources, std::size_t values) {
  const Tensor out = backend.make("load", DType::f32, {values}, true);
  submit_load(backend, out, [&files = backend.files(), out, sources = std::move(sources)](Context& context) {
    float* to = out.out();
    for (const Source& source : sources) {
      std::vector<std::shared_ptr<MappedFile>> held;
      const WeightSource rows = open_source(files, source, Role::vector, source.row_order, held);
      if (rows.rows * rows.columns == 0) continue;
      settle_vector(context, rows, to);
      to += rows.rows * rows.columns;
    }
  });
  return out;
}

Tensor load_matrix(Backend& backend, std::vector<Source> sources, Role role, std::size_t rows, std::size_t columns) {
  // The bytes of a weight are counted when they are known; the storage itself holds none.
  Tensor out = backend.make("load", DType::u8, {0});
  out.dtype = sources[0].dtype;
  out.shape = {rows, columns};
  out.storage->weight = std::make_shared<Weight>(backend.memory());
  out.storage->weight->for_products = role == Role::linear;
  submit_load(backend, out, [&files = backend.files(), compute = backend.compute(), weight = out.storage->weight, role,
                                     sources = std::move(sources)](Context& context) {
    for (const Source& source : sources) weight->row_orders.push_back(source.row_order);
    for (std::size_t i = 0; i < sources.size(); i++) {
      weight->sources.push_back(open_source(files, sources[i], role, weight->row_orders[i], weight->files));
    }
    settle(context, *weight, compute);
    if (!weight->packed) return;
    for (std::size_t i = 0; i < sources.size(); i++) weight->files[i]->forget(sources[i].offset, sources[i].bytes);
  });
  return out;
}

}  // namespace

Tensor load(Backend& backend, std::vector<Source> sources, Role role) {
  demand(!backend.recording(), "load", "load: not while a program is recorded");
  demand(!sources.empty(), "load", "load: needs at least one stored tensor");
  const std::size_t columns = sources[0].shape.rank() == 2 ? sources[0].shape[1] : 1;
  std::size_t rows = 0;
  for (const Source& source : sources) rows += check_source(source, role, columns);
  tensor_bytes("load", DType::f32, {rows, columns});
  return role == Role::vector ? load_vector(backend, std::move(sources), rows) : load_matrix(backend, std::move(sources), role, rows, columns);
}

void expect_weight(const char* op, const Tensor& tensor) {
  if (tensor.shape.rank() != 2) fail_shape(op, "the weight must be a matrix, not " + format(tensor.shape));
  if (tensor.dtype == DType::i32 || tensor.dtype == DType::u8) throw Fault(Code::dtype_mismatch, op, std::string(op) + ": the weight holds no floats");
}

std::span<const WeightSource> matrix_sources(const Tensor& tensor, WeightSource& room) {
  if (tensor.storage->weight) return tensor.storage->weight->sources;
  room.type = tensor.dtype;
  room.data = tensor.storage->data();
  room.rows = tensor.shape[0];
  room.columns = tensor.shape[1];
  return std::span(&room, 1);
}

Tensor dequantize(Backend& backend, const Tensor& weight) {
  const bool vector = weight.shape.rank() == 1 && !weight.storage->weight;
  if (!vector) expect_weight("dequantize", weight);
  const Tensor matrix = vector ? Tensor{weight.storage, weight.dtype, {1, weight.shape[0]}} : weight;
  expect_weight("dequantize", matrix);
  const Tensor out = backend.make("dequantize", DType::f32, weight.shape);
  backend.submit("dequantize", {weight}, {out}, [=](Context& context) {
    WeightSource room;
    if (out.count() != 0) kvsift::dequantize(context, matrix_sources(matrix, room), out.out());
  });
  return out;
}

}  // namespace kvsift::launch

#include "launch/host.h"
#include "launch/weight.h"
#include "node/options.h"
#include "node/reader.h"

namespace kvsift::node {

namespace {

Napi::Value upload(Reader& reader) {
  // The dtype comes first, because it says which array may follow.
  const DType dtype = reader.dtype("dtype");
  const Shape shape = reader.shape("shape");
  const auto data = reader.host("data", dtype);
  return reader.result(launch::upload(reader.backend(), data.data(), data.size(), dtype, shape));
}

Napi::Value empty(Reader& reader) {
  const DType dtype = reader.dtype("dtype");
  return reader.result(launch::empty(reader.backend(), dtype, reader.shape("shape")));
}

Napi::Value write(Reader& reader) {
  const Tensor tensor = reader.tensor("tensor");
  const auto data = reader.host("data", tensor.dtype);
  launch::write(reader.backend(), tensor, data.data(), data.size());
  return reader.env().Undefined();
}

Napi::Value assign(Reader& reader) {
  const Tensor tensor = reader.tensor("tensor");
  launch::assign(reader.backend(), tensor, reader.tensor("data"));
  return reader.env().Undefined();
}

Napi::Value write_rows(Reader& reader) {
  const Tensor tensor = reader.tensor("tensor");
  const std::size_t row = reader.count("row");
  launch::write_rows(reader.backend(), tensor, row, reader.tensor("data"));
  return reader.env().Undefined();
}

Napi::Value receive(Reader& reader) {
  const Tensor tensor = reader.tensor("tensor");
  NativeBackend& from = reader.other("from");
  const double id = reader.number("data");
  launch::receive(reader.backend(), tensor, from.backend(), from.tensor("receive", "data", id));
  return reader.env().Undefined();
}

Napi::Value reshape(Reader& reader) {
  const Tensor x = reader.tensor("x");
  return reader.result(launch::reshape(x, reader.shape("shape")));
}

Napi::Value release(Reader& reader) {
  reader.owner().drop_tensor(reader.number("tensor"));
  return reader.env().Undefined();
}

Napi::Value memory(Reader& reader) { return to_object(reader.env(), reader.backend().memory()->use()); }

Napi::Value reset_peak(Reader& reader) {
  reader.backend().stream().reset_peak();
  return reader.env().Undefined();
}

void refuse_recording(Reader& reader) {
  demand(!reader.backend().recording(), reader.op(), "nothing can be waited for while a program is recorded");
}

Napi::Value finish(Reader& reader) {
  refuse_recording(reader);
  NativeBackend& owner = reader.owner();
  Completion* completion = owner.begin(reader.env());
  const Napi::Promise promise = completion->deferred.Promise();
  reader.backend().stream().finish([&owner, completion](const FailurePointer& failure, const Mark& mark) {
    completion->failure = failure;
    completion->mark = mark;
    owner.settle(completion);
  });
  return promise;
}

/** An ArrayBuffer from JavaScript's own constructor, which throws where there is no memory (N-API's ends the process); empty then. */
Napi::ArrayBuffer make_buffer(Reader& reader, std::size_t bytes) {
  const Napi::Env env = reader.env();
  try {
    const Napi::Value made = env.Global().Get("ArrayBuffer").As<Napi::Function>().New({Napi::Number::New(env, static_cast<double>(bytes))});
    if (made.IsArrayBuffer() && made.As<Napi::ArrayBuffer>().ByteLength() == bytes) return made.As<Napi::ArrayBuffer>();
  } catch (const Napi::Error&) {
    // The promise tells, unless an earlier failure explains more.
  }
  return {};
}

Napi::Value read(Reader& reader) {
  refuse_recording(reader);
  const Tensor tensor = reader.tensor("tensor");
  if (tensor.storage->weight) throw Fault(Code::unsupported, "read", "read: a weight is opaque; dequantize it and read the result");
  Napi::ArrayBuffer buffer = make_buffer(reader, tensor.storage->bytes());
  NativeBackend& owner = reader.owner();
  Backend& backend = reader.backend();
  Completion* completion = owner.begin(reader.env());
  void* target = nullptr;
  if (!buffer.IsEmpty()) {
    target = buffer.Data();
    completion->value = Napi::Persistent(buffer.As<Napi::Object>());
  }
  const Napi::Promise promise = completion->deferred.Promise();
  backend.stream().read(tensor.storage, target, [&owner, completion](const FailurePointer& failure) {
    completion->failure = failure;
    owner.settle(completion);
  });
  return promise;
}

launch::Source read_source(const Napi::Object& given) {
  const auto refuse = [](const char* sentence) { throw Fault(Code::invalid_argument, "load", std::string("load: a stored tensor ") + sentence); };
  const Napi::Value name = given.Get("name");
  const Napi::Value path = given.Get("path");
  const Napi::Value dtype = given.Get("dtype");
  const Napi::Value shape = given.Get("shape");
  const Napi::Value offset = given.Get("byteOffset");
  const Napi::Value bytes = given.Get("byteLength");
  const Napi::Value order = given.Get("rowOrder");
  if (!name.IsString() || !path.IsString() || !dtype.IsString() || !offset.IsNumber() || !bytes.IsNumber()) refuse("lacks a field");
  launch::Source out;
  out.name = name.As<Napi::String>().Utf8Value();
  out.path = path.As<Napi::String>().Utf8Value();
  if (out.path.empty() || out.path.find('\0') != std::string::npos) refuse("has no path");
  if (!dtype_from_name(dtype.As<Napi::String>().Utf8Value().c_str(), out.dtype)) refuse("has no dtype");
  const auto integer = [&](double value) {
    if (!(value >= 0 && value < 9007199254740992.0) || value != static_cast<double>(static_cast<std::size_t>(value))) refuse("has a number that is no count");
    return static_cast<std::size_t>(value);
  };
  out.offset = integer(offset.As<Napi::Number>().DoubleValue());
  out.bytes = integer(bytes.As<Napi::Number>().DoubleValue());
  if (!shape.IsTypedArray() || shape.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) refuse("has no shape");
  const auto sizes = shape.As<Napi::Float64Array>();
  if (sizes.ElementLength() > Shape::max_rank) refuse("has more than four axes");
  for (std::size_t i = 0; i < sizes.ElementLength(); i++) out.shape.push(integer(sizes[i]));
  if (order.IsUndefined()) return out;
  if (!order.IsTypedArray() || order.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) refuse("has a row order that is no Int32Array");
  out.reordered = true;
  const auto rows = order.As<Napi::Int32Array>();
  if (rows.ElementLength() != 0) out.row_order.assign(rows.Data(), rows.Data() + rows.ElementLength());
  return out;
}

/** Gives the tensor and a promise of its load. */
Napi::Value load(Reader& reader) {
  const Napi::Value list = reader.value();
  if (!list.IsArray()) reader.refuse("sources", "must be an array");
  const auto role = reader.choice<launch::Role>(
      "role", {{"linear", launch::Role::linear}, {"embedding", launch::Role::embedding}, {"vector", launch::Role::vector}});
  std::vector<launch::Source> sources;
  const auto array = list.As<Napi::Array>();
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value source = array.Get(i);
    if (!source.IsObject()) reader.refuse("sources", "must hold stored tensors");
    sources.push_back(read_source(source.As<Napi::Object>()));
  }
  // Reading the objects may have run JavaScript: the backend is asked for only now.
  const Tensor tensor = launch::load(reader.backend(), std::move(sources), role);
  NativeBackend& owner = reader.owner();
  Completion* completion = owner.begin(reader.env());
  const Napi::Object out = Napi::Object::New(reader.env());
  out.Set("tensor", reader.result(tensor));
  out.Set("done", completion->deferred.Promise());
  reader.backend().stream().fence(tensor.storage, [&owner, completion](const FailurePointer& failure) {
    completion->failure = failure;
    owner.settle(completion);
  });
  return out;
}

Napi::Value dequantize(Reader& reader) {
  const Tensor weight = reader.tensor("weight");
  return reader.result(launch::dequantize(reader.backend(), weight));
}

Napi::Value begin_recording(Reader& reader) {
  reader.backend().begin_recording();
  return reader.env().Undefined();
}

Napi::Value end_recording(Reader& reader) {
  return Napi::Number::New(reader.env(), reader.owner().keep(reader.backend().end_recording()));
}

Napi::Value run_program(Reader& reader) {
  demand(!reader.backend().recording(), "run", "run: not while a program is recorded");
  reader.backend().stream().push(reader.owner().program(reader.number("program")));
  return reader.env().Undefined();
}

Napi::Value release_program(Reader& reader) {
  reader.owner().drop_program(reader.number("program"));
  return reader.env().Undefined();
}

Napi::Value dispose(Reader& reader) { return reader.owner().dispose(reader.env()); }

constexpr Export exports[] = {
    {"upload", upload},
    {"empty", empty},
    {"write", write},
    {"assign", assign},
    {"writeRows", write_rows},
    {"receive", receive},
    {"reshape", reshape},
    {"release", release},
    {"read", read},
    {"finish", finish},
    {"memory", memory},
    {"resetPeak", reset_peak},
    {"load", load},
    {"dequantize", dequantize},
    {"beginRecording", begin_recording},
    {"endRecording", end_recording},
    {"runProgram", run_program},
    {"releaseProgram", release_program},
    {"describe", describe},
    {"dispose", dispose},
};

}  // namespace

std::span<const Export> stream_exports() { return exports; }

}  // namespace kvsift::node

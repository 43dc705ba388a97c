#include "node/reader.h"

#include <cmath>

namespace kvsift::node {

void Reader::refuse(const char* name, const std::string& sentence) const {
  throw Fault(Code::invalid_argument, op_, std::string(op_) + ": " + name + " " + sentence);
}

double Reader::number(const char* name) {
  const Napi::Value given = value();
  if (!given.IsNumber()) refuse(name, "must be a number");
  return given.As<Napi::Number>().DoubleValue();
}

double Reader::finite(const char* name) {
  const double given = number(name);
  if (!std::isfinite(given) || !std::isfinite(static_cast<float>(given))) refuse(name, "must be a finite float");
  return given;
}

std::size_t Reader::integer(const char* name, double value, std::size_t most) const {
  if (!(value >= 0) || value != std::floor(value) || value > static_cast<double>(most)) {
    const std::string range = most < std::size_t{1} << 53 ? "an integer from 0 to " + std::to_string(most) : "an integer of at least 0";
    refuse(name, ("must be " + range).c_str());
  }
  return static_cast<std::size_t>(value);
}

std::size_t Reader::count(const char* name, std::size_t most) { return integer(name, number(name), most); }

bool Reader::flag(const char* name) {
  const Napi::Value given = value();
  if (!given.IsBoolean()) refuse(name, "must be true or false");
  return given.As<Napi::Boolean>().Value();
}

std::string Reader::text(const char* name) {
  const Napi::Value given = value();
  if (!given.IsString()) refuse(name, "must be a string");
  return given.As<Napi::String>().Utf8Value();
}

Tensor Reader::tensor(const char* name) { return owner_.tensor(op_, name, number(name)); }

NativeBackend& Reader::other(const char* name) {
  const Napi::Value given = value();
  NativeBackend* found = NativeBackend::of(given);
  if (found == nullptr) refuse(name, "must be a backend of this addon");
  return *found;
}

std::optional<Tensor> Reader::maybe_tensor(const char* name) {
  const double id = number(name);
  if (id == 0) return std::nullopt;
  return owner_.tensor(op_, name, id);
}

DType Reader::dtype(const char* name) {
  DType out{};
  if (!dtype_from_name(text(name).c_str(), out)) refuse(name, "is no dtype");
  return out;
}

std::vector<double> Reader::numbers(const char* name) {
  const Napi::Value given = value();
  if (!given.IsTypedArray() || given.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) refuse(name, "must be a Float64Array");
  const auto array = given.As<Napi::Float64Array>();
  const std::size_t length = array.ElementLength();
  return length == 0 ? std::vector<double>() : std::vector<double>(array.Data(), array.Data() + length);
}

std::vector<std::size_t> Reader::counts(const char* name) {
  std::vector<std::size_t> out;
  for (const double value : numbers(name)) out.push_back(integer(name, value));
  return out;
}

Shape Reader::shape(const char* name) {
  const auto sizes = counts(name);
  if (sizes.size() > Shape::max_rank) refuse(name, "has more than four axes");
  Shape out;
  for (const std::size_t size : sizes) out.push(size);
  return out;
}

std::span<const std::byte> Reader::host(const char* name, DType dtype) {
  const Napi::Value given = value();
  napi_typedarray_type expected = napi_uint8_array;
  if (dtype == DType::f32) expected = napi_float32_array;
  if (dtype == DType::i32) expected = napi_int32_array;
  if (dtype == DType::f16 || dtype == DType::bf16) expected = napi_uint16_array;
  if (!given.IsTypedArray() || given.As<Napi::TypedArray>().TypedArrayType() != expected) {
    throw Fault(Code::dtype_mismatch, op_, std::string(op_) + ": " + name + " is not the typed array of " + dtype_name(dtype));
  }
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env(), given, &type, &length, &data, nullptr, nullptr) != napi_ok) refuse(name, "cannot be read");
  const std::size_t size = given.As<Napi::TypedArray>().ElementSize();
  return {static_cast<const std::byte*>(data), data == nullptr ? 0 : length * size};
}

Napi::Value Reader::results(std::span<const Tensor> tensors) const {
  const Napi::Array out = Napi::Array::New(env(), tensors.size());
  for (std::uint32_t i = 0; i < tensors.size(); i++) out.Set(i, result(tensors[i]));
  return out;
}

}  // namespace kvsift::node

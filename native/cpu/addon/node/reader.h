#pragma once

#include <napi.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "node/native_backend.h"

namespace kvsift::node {

/**
 * Reads the arguments of one call, in order, and checks that each is what it must be. Lists come as typed arrays and are copied, so no JavaScript
 * runs in between. @throws Fault `invalid_argument`, `dtype_mismatch`, `disposed`
 */
class Reader {
 public:
  Reader(const Napi::CallbackInfo& info, NativeBackend& owner, const char* op) : info_(info), owner_(owner), op_(op) {}

  Napi::Env env() const { return info_.Env(); }
  NativeBackend& owner() const { return owner_; }
  Backend& backend() const { return owner_.backend(); }
  const char* op() const { return op_; }

  Napi::Value value() { return info_[next_++]; }
  double number(const char* name);
  double finite(const char* name);
  /** An integer from 0 to `most`. */
  std::size_t count(const char* name, std::size_t most = (std::size_t{1} << 53) - 1);
  bool flag(const char* name);
  std::string text(const char* name);
  Tensor tensor(const char* name);
  /** Another backend of this addon. */
  NativeBackend& other(const char* name);
  /** 0 stands for none. */
  std::optional<Tensor> maybe_tensor(const char* name);
  DType dtype(const char* name);
  Shape shape(const char* name);
  /** A Float64Array. */
  std::vector<double> numbers(const char* name);
  std::vector<std::size_t> counts(const char* name);
  /** Bytes of any typed array that may hold the dtype: valid until JavaScript runs. */
  std::span<const std::byte> host(const char* name, DType dtype);

  template <class Enum, std::size_t size>
  Enum choice(const char* name, const std::pair<const char*, Enum> (&table)[size]) {
    const std::string given = text(name);
    for (const auto& [key, value] : table) {
      if (given == key) return value;
    }
    refuse(name, "is none of the known words");
  }

  [[noreturn]] void refuse(const char* name, const std::string& sentence) const;
  /** A number of a list as an integer from 0 to `most`. */
  std::size_t integer(const char* name, double value, std::size_t most = (std::size_t{1} << 53) - 1) const;

  /** Hands a tensor to JavaScript. */
  Napi::Value result(const Tensor& tensor) const { return Napi::Number::New(env(), owner_.keep(tensor)); }
  Napi::Value results(std::span<const Tensor> tensors) const;

 private:
  const Napi::CallbackInfo& info_;
  NativeBackend& owner_;
  const char* op_;
  std::size_t next_ = 0;
};

/** One method of the class. */
struct Export {
  const char* name;
  Napi::Value (*run)(Reader& reader);
};

std::span<const Export> stream_exports();
std::span<const Export> algebra_exports();
std::span<const Export> model_exports();
std::span<const Export> cache_exports();

}  // namespace kvsift::node

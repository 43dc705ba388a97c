#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <unordered_map>

#include "launch/backend.h"

namespace kvsift::node {

/** A promise on its way: made on JavaScript's thread, filled in by the executor, settled on JavaScript's thread. */
struct Completion {
  explicit Completion(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise::Deferred deferred;
  FailurePointer failure;
  /** What the promise resolves with, this or a mark; without either: undefined. */
  Napi::ObjectReference value;
  std::optional<Mark> mark;
  /** The stream has ended. */
  bool ends = false;

  Napi::Value resolution(Napi::Env env) const;
};

/** As JavaScript sees it. */
Napi::Object to_object(Napi::Env env, const MemoryUse& use);

/** The JavaScript class `Backend` of the addon: tensors and programs are numbers, which are looked up on every call. */
class NativeBackend : public Napi::ObjectWrap<NativeBackend> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit NativeBackend(const Napi::CallbackInfo& info);
  ~NativeBackend() override;

  /** The backend behind a JavaScript value; null where it is none of this very addon. */
  static NativeBackend* of(const Napi::Value& value);

  /** @throws Fault `disposed` */
  Backend& backend();

  double keep(const Tensor& tensor);
  /** @throws Fault `disposed` where the number names no living tensor */
  const Tensor& tensor(const char* op, const char* name, double id) const;
  void drop_tensor(double id);

  double keep(std::shared_ptr<const Program> program);
  const std::shared_ptr<const Program>& program(double id) const;
  void drop_program(double id);

  /** A promise that keeps the process and this object alive until `settle` was called with it (on any thread). */
  Completion* begin(Napi::Env env);
  void settle(Completion* completion);

  Napi::Promise dispose(Napi::Env env);

  /** The error that JavaScript shall see. */
  Napi::Error error(Napi::Env env, const Failure& failure) const;

 private:
  static void call_js(Napi::Env env, Napi::Function callback, NativeBackend* self, Completion* completion);
  static void clean_up(void* self);
  Napi::Value call(const Napi::CallbackInfo& info);
  void finish(Napi::Env env, Completion* completion);

  using Channel = Napi::TypedThreadSafeFunction<NativeBackend, Completion, &NativeBackend::call_js>;

  napi_env env_;
  std::unique_ptr<Backend> backend_;
  bool alive_ = false;
  bool connected_ = false;
  bool torn_down_ = false;
  Napi::FunctionReference create_error_;
  Channel channel_;
  std::size_t pending_ = 0;
  std::unordered_map<std::uint64_t, Tensor> tensors_;
  std::unordered_map<std::uint64_t, std::shared_ptr<const Program>> programs_;
  std::uint64_t next_ = 1;
};

}  // namespace kvsift::node

#include "node/native_backend.h"

#include <cmath>

#include "node/options.h"

namespace kvsift::node {

namespace {

/** Marks objects of this library: another one that is compiled from the same files has another address. */
const napi_type_tag& tag() {
  static const int own = 0;
  static const napi_type_tag made{0x6b76736966740001, reinterpret_cast<std::uintptr_t>(&own)};
  return made;
}

std::uint64_t key(double id) { return id > 0 && id < 9007199254740992.0 && id == std::floor(id) ? static_cast<std::uint64_t>(id) : 0; }

}  // namespace

Napi::Object to_object(Napi::Env env, const MemoryUse& use) {
  const Napi::Object out = Napi::Object::New(env);
  out.Set("bytes", static_cast<double>(use.bytes));
  out.Set("peakBytes", static_cast<double>(use.peak_bytes));
  out.Set("weightBytes", static_cast<double>(use.weight_bytes));
  return out;
}

Napi::Value Completion::resolution(Napi::Env env) const {
  if (!mark) return value.IsEmpty() ? env.Undefined() : Napi::Value(value.Value());
  const Napi::Object out = Napi::Object::New(env);
  out.Set("seconds", mark->seconds);
  out.Set("memory", to_object(env, mark->memory));
  return out;
}

Napi::Function NativeBackend::define(Napi::Env env) {
  std::vector<PropertyDescriptor> methods;
  for (const auto exports : {stream_exports(), algebra_exports(), model_exports(), cache_exports()}) {
    for (const Export& entry : exports) {
      methods.push_back(InstanceMethod(entry.name, &NativeBackend::call, napi_default_method, const_cast<Export*>(&entry)));
    }
  }
  return DefineClass(env, "Backend", methods);
}

NativeBackend::NativeBackend(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeBackend>(info), env_(info.Env()) {
  const Napi::Value create_error = info[0];
  if (!create_error.IsFunction()) throw Napi::TypeError::New(info.Env(), "Backend: the first argument must be a function that makes errors");
  create_error_ = Napi::Persistent(create_error.As<Napi::Function>());
  try {
    Reader reader(info, *this, maker);
    reader.value();
    backend_ = std::make_unique<Backend>(read_options(reader));
  } catch (const Fault& fault) {
    throw error(info.Env(), *fault.failure());
  } catch (const std::exception& problem) {
    throw error(info.Env(), {Code::backend_failure, maker, std::string("the backend cannot start: ") + problem.what()});
  }
  info.This().As<Napi::Object>().TypeTag(&tag());
  channel_ = Channel::New(info.Env(), "kvsift", 0, 1, this);
  channel_.Unref(info.Env());
  napi_add_env_cleanup_hook(env_, clean_up, this);
  connected_ = true;
  alive_ = true;
}

NativeBackend* NativeBackend::of(const Napi::Value& value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&tag()) ? Unwrap(value.As<Napi::Object>()) : nullptr;
}

NativeBackend::~NativeBackend() {
  if (backend_) {
    backend_->stream().stop([] {});
    backend_->stream().join();
  }
  if (torn_down_ || !connected_) return;
  napi_remove_env_cleanup_hook(env_, clean_up, this);
  channel_.Release();
}

/** The process or the worker ends: the thread must not call into it any more. */
void NativeBackend::clean_up(void* self) {
  auto* own = static_cast<NativeBackend*>(self);
  own->torn_down_ = true;
  own->alive_ = false;
  if (!own->backend_) return;
  own->backend_->stream().stop([] {});
  own->backend_->stream().join();
}

Backend& NativeBackend::backend() {
  if (!alive_) throw Fault(Code::disposed, "backend", "this backend was disposed");
  return *backend_;
}

double NativeBackend::keep(const Tensor& tensor) {
  backend_->hold(tensor);
  tensors_.emplace(next_, tensor);
  return static_cast<double>(next_++);
}

const Tensor& NativeBackend::tensor(const char* op, const char* name, double id) const {
  const auto found = tensors_.find(key(id));
  if (found == tensors_.end()) throw Fault(Code::disposed, op, std::string(op) + ": " + name + " is no living tensor of this backend");
  return found->second;
}

void NativeBackend::drop_tensor(double id) {
  const auto found = tensors_.find(key(id));
  if (found == tensors_.end()) return;
  Tensor tensor = std::move(found->second);
  tensors_.erase(found);
  backend_->let_go(std::move(tensor));
}

double NativeBackend::keep(std::shared_ptr<const Program> program) {
  programs_.emplace(next_, std::move(program));
  return static_cast<double>(next_++);
}

const std::shared_ptr<const Program>& NativeBackend::program(double id) const {
  const auto found = programs_.find(key(id));
  if (found == programs_.end()) throw Fault(Code::disposed, "run", "run: the program was disposed");
  return found->second;
}

void NativeBackend::drop_program(double id) {
  const auto found = programs_.find(key(id));
  if (found == programs_.end()) return;
  backend_->stream().release(std::move(found->second));
  programs_.erase(found);
}

Completion* NativeBackend::begin(Napi::Env env) {
  if (pending_++ == 0) {
    channel_.Ref(env);
    Ref();
  }
  return new Completion(env);
}

void NativeBackend::settle(Completion* completion) { channel_.NonBlockingCall(completion); }

void NativeBackend::call_js(Napi::Env env, Napi::Function, NativeBackend* self, Completion* completion) {
  // Where the environment ends nobody waits for the promise, and its references cannot be given back.
  if (env == nullptr || self->torn_down_) return;
  try {
    self->finish(env, completion);
  } catch (const Napi::Error&) {
    // A worker that is being terminated runs no more JavaScript.
  }
}

void NativeBackend::finish(Napi::Env env, Completion* completion) {
  const std::unique_ptr<Completion> owned(completion);
  if (owned->ends) {
    backend_->stream().join();
    backend_ = nullptr;
  }
  if (owned->failure) {
    owned->deferred.Reject(error(env, *owned->failure).Value());
  } else {
    owned->deferred.Resolve(owned->resolution(env));
  }
  if (--pending_ == 0) {
    channel_.Unref(env);
    Unref();
  }
}

Napi::Promise NativeBackend::dispose(Napi::Env env) {
  backend();
  alive_ = false;
  // They go where the stream is, which may be at work with them.
  backend_->stream().release(std::make_shared<const std::pair<decltype(tensors_), decltype(programs_)>>(std::move(tensors_), std::move(programs_)));
  tensors_.clear();
  programs_.clear();
  Completion* completion = begin(env);
  completion->ends = true;
  const Napi::Promise promise = completion->deferred.Promise();
  backend_->stream().stop([this, completion] { settle(completion); });
  return promise;
}

Napi::Error NativeBackend::error(Napi::Env env, const Failure& failure) const {
  const Napi::Value made = create_error_.Call({Napi::String::New(env, code_name(failure.code)), Napi::String::New(env, failure.message),
                                               Napi::String::New(env, failure.op), Napi::Number::New(env, static_cast<double>(failure.wanted)),
                                               Napi::Number::New(env, static_cast<double>(failure.available)),
                                               Napi::Number::New(env, static_cast<double>(failure.held))});
  if (!made.IsObject()) return Napi::Error::New(env, failure.message);
  return Napi::Error(env, made);
}

Napi::Value NativeBackend::call(const Napi::CallbackInfo& info) {
  const auto* entry = static_cast<const Export*>(info.Data());
  Reader reader(info, *this, entry->name);
  try {
    backend();
    return entry->run(reader);
  } catch (const Fault& fault) {
    throw error(info.Env(), *fault.failure());
  } catch (const std::bad_alloc&) {
    throw error(info.Env(), {Code::out_of_memory, entry->name, std::string(entry->name) + ": there is not enough memory"});
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& problem) {
    throw error(info.Env(), {Code::backend_failure, entry->name, std::string(entry->name) + ": " + problem.what()});
  }
}

}  // namespace kvsift::node

#include <napi.h>

#include "kvsift/context.h"
#include "node/native_backend.h"

namespace kvsift::node {

namespace {

/** The instruction sets that this machine and this build can run, weakest first. */
Napi::Value supported_isas(const Napi::CallbackInfo& info) {
  const Napi::Array out = Napi::Array::New(info.Env());
  for (int level = 0; level < isa_count; level++) {
    const Isa isa = static_cast<Isa>(level);
    if (isa_supported(isa)) out.Set(out.Length(), isa_name(isa));
  }
  return out;
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
  exports.Set("Backend", NativeBackend::define(env));
  exports.Set("supportedIsas", Napi::Function::New(env, supported_isas, "supportedIsas"));
  return exports;
}

}  // namespace

}  // namespace kvsift::node

static Napi::Object start_addon(Napi::Env env, Napi::Object exports) { return kvsift::node::start(env, exports); }

NODE_API_MODULE(kvsift_cpu, start_addon)

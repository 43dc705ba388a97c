#include <napi.h>

#include "node/native_backend.h"

namespace kvsift::node {

static Napi::Object start(Napi::Env env, Napi::Object exports) {
  exports.Set("Backend", NativeBackend::define(env));
  return exports;
}

}  // namespace kvsift::node

static Napi::Object start_addon(Napi::Env env, Napi::Object exports) { return kvsift::node::start(env, exports); }

NODE_API_MODULE(kvsift_cuda, start_addon)

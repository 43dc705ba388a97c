#include "node/options.h"

namespace kvsift::node {

const char* const maker = "createCudaBackend";

BackendOptions read_options(Reader& reader) {
  BackendOptions options;
  options.device = static_cast<int>(reader.count("device", 1024));
  options.memory_limit = reader.count("memoryLimit");
  options.cublas = reader.flag("cublas");
  options.compute = reader.choice<Compute>("compute", {{"f32", Compute::f32}, {"bf16", Compute::bf16}});
  return options;
}

Napi::Value describe(Reader& reader) {
  const Napi::Object out = Napi::Object::New(reader.env());
  out.Set("description", reader.backend().stream().description());
  out.Set("freeBytes", static_cast<double>(reader.backend().stream().device_memory().free));
  return out;
}

}  // namespace kvsift::node

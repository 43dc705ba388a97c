#include "node/options.h"

namespace kvsift::node {

namespace {

std::string isa_names() {
  std::string names;
  for (int isa = 0; isa < isa_count; isa++) names += std::string(isa > 0 ? ", " : "") + isa_name(static_cast<Isa>(isa));
  return names;
}

}  // namespace

const char* const maker = "createCpuBackend";

BackendOptions read_options(Reader& reader) {
  BackendOptions options;
  options.threads = reader.count("threads", 1024);
  if (!isa_from_name(reader.text("isa").c_str(), options.isa)) reader.refuse("isa", "must be one of " + isa_names());
  if (!isa_supported(options.isa)) {
    throw Fault(Code::unsupported, reader.op(), std::string(reader.op()) + ": this machine or this build cannot run " + isa_name(options.isa));
  }
  options.compute = reader.choice<Compute>("compute", {{"f32", Compute::f32}, {"int8", Compute::int8}});
  options.memory_limit = reader.count("memoryLimit");
  return options;
}

Napi::Value describe(Reader& reader) {
  const Napi::Object out = Napi::Object::New(reader.env());
  out.Set("threads", static_cast<double>(reader.backend().stream().threads()));
  out.Set("isa", isa_name(reader.backend().stream().isa()));
  return out;
}

}  // namespace kvsift::node

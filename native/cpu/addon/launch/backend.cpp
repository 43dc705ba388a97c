#include "launch/backend.h"

namespace kvsift {

Backend::Backend(const BackendOptions& options) : compute_(options.compute), stream_(options) {}

Tensor Backend::make(const char* op, DType dtype, const Shape& shape, bool weight) {
  auto storage = std::make_shared<Storage>(memory(), tensor_bytes(op, dtype, shape), weight);
  if (recorded_) storage->recording = recordings_;
  return {std::move(storage), dtype, shape};
}

void Backend::submit(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs, std::function<void(Context&)> run) {
  Op op;
  op.name = name;
  op.inputs.reserve(inputs.size());
  for (const Tensor& input : inputs) op.inputs.push_back(input.storage);
  op.outputs.reserve(outputs.size());
  for (const Tensor& output : outputs) op.outputs.push_back(output.storage);
  op.run = std::move(run);
  if (recorded_) {
    recorded_->ops.push_back(std::move(op));
  } else {
    stream_.push(std::move(op));
  }
}

void Backend::let_go(Tensor tensor) {
  const StoragePointer& storage = tensor.storage;
  storage->handles--;
  if (recorded_ && storage->recording == recordings_) {
    // Nobody will look at it again: each run may give the memory to later ops.
    if (storage->handles > 0) return;
    Op drop;
    drop.name = "drop";
    drop.run = [storage](Context&) { storage->drop(); };
    recorded_->ops.push_back(std::move(drop));
    return;
  }
  stream_.release(std::move(tensor.storage));
}

void Backend::begin_recording() {
  demand(!recorded_, "record", "record: a recording is under way already");
  recorded_ = std::make_shared<Program>();
  recordings_++;
}

std::shared_ptr<const Program> Backend::end_recording() {
  demand(recorded_ != nullptr, "record", "record: nothing is being recorded");
  return std::exchange(recorded_, nullptr);
}

}  // namespace kvsift

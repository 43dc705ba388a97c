#pragma once

#include <optional>
#include <span>

#include "runtime/mapped_file.h"
#include "runtime/options.h"
#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace kvsift {

/** What launchers work with: makes tensors and takes ops, or records them. JavaScript's thread only. */
class Backend {
 public:
  explicit Backend(const BackendOptions& options);

  Compute compute() const { return compute_; }
  Stream& stream() { return stream_; }
  const std::shared_ptr<Memory>& memory() const { return stream_.memory(); }
  MappedFiles& files() { return files_; }

  /** A tensor whose contents an op will make. `weight`: its bytes count as weights. @throws Fault where its size cannot be */
  Tensor make(const char* op, DType dtype, const Shape& shape, bool weight = false);
  /** Enqueues or records an op. */
  void submit(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs, std::function<void(Context&)> run);
  void submit(const char* name, std::initializer_list<Tensor> inputs, std::initializer_list<Tensor> outputs, std::function<void(Context&)> run) {
    submit(name, std::span(inputs.begin(), inputs.size()), std::span(outputs.begin(), outputs.size()), std::move(run));
  }

  /** Count the tensors that JavaScript holds. */
  void hold(const Tensor& tensor) { tensor.storage->handles++; }
  void let_go(Tensor tensor);

  bool recording() const { return recorded_ != nullptr; }
  /** From now on ops are recorded. @throws Fault where that is so already */
  void begin_recording();
  std::shared_ptr<const Program> end_recording();

 private:
  Compute compute_;
  MappedFiles files_;
  std::shared_ptr<Program> recorded_;
  std::uint64_t recordings_ = 0;
  Stream stream_;
};

}  // namespace kvsift

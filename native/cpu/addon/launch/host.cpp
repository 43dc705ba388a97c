#include "launch/host.h"

#include <cstring>

#include "launch/check.h"

namespace kvsift::launch {

namespace {

/** Host data on their way into the stream. */
class Staged {
 public:
  Staged(const char* op, std::shared_ptr<Memory> memory, const void* data, std::size_t bytes) : memory_(std::move(memory)) {
    try {
      block_ = memory_->allocate(bytes);
    } catch (const std::bad_alloc&) {
      throw Fault(Code::out_of_memory, op, std::string(op) + ": there is not enough memory for " + std::to_string(bytes) + " bytes");
    }
    if (bytes != 0) std::memcpy(block_.data, data, bytes);
  }
  ~Staged() { memory_->release(block_); }
  Staged(const Staged&) = delete;
  Staged& operator=(const Staged&) = delete;

  const void* data() const { return block_.data; }
  /** Makes the block the memory of a storage. */
  void move_into(Storage& storage) {
    storage.adopt(block_);
    block_ = {};
  }

 private:
  std::shared_ptr<Memory> memory_;
  Block block_;
};

void expect_bytes(const char* op, std::size_t expected, std::size_t bytes) {
  if (expected != bytes) fail_shape(op, "takes " + std::to_string(expected) + " bytes, not " + std::to_string(bytes));
}

}  // namespace

Tensor upload(Backend& backend, const void* data, std::size_t bytes, DType dtype, const Shape& shape) {
  const Tensor out = backend.make("upload", dtype, shape);
  expect_bytes("upload", out.storage->bytes(), bytes);
  const auto staged = std::make_shared<Staged>("upload", backend.memory(), data, bytes);
  if (backend.recording()) {
    backend.submit("upload", {}, {out}, [=](Context&) { std::memcpy(out.storage->data(), staged->data(), bytes); });
  } else {
    Op op;
    op.name = "upload";
    op.outputs = {out.storage};
    op.run = [=](Context&) { staged->move_into(*out.storage); };
    op.allocates = false;
    backend.stream().push(std::move(op));
  }
  return out;
}

Tensor empty(Backend& backend, DType dtype, const Shape& shape) {
  const Tensor out = backend.make("empty", dtype, shape);
  backend.submit("empty", {}, {out}, [](Context&) {});
  return out;
}

void write(Backend& backend, const Tensor& tensor, const void* data, std::size_t bytes) {
  demand(!tensor.storage->weight, "write", "a weight cannot be overwritten");
  expect_bytes("write", tensor.storage->bytes(), bytes);
  const auto staged = std::make_shared<Staged>("write", backend.memory(), data, bytes);
  backend.submit("write", {}, {tensor}, [=](Context&) { std::memcpy(tensor.storage->data(), staged->data(), bytes); });
}

void assign(Backend& backend, const Tensor& tensor, const Tensor& data) {
  demand(!tensor.storage->weight && !data.storage->weight, "write", "a weight cannot be overwritten, nor copied");
  expect_dtype("write", "data", data, tensor.dtype);
  expect_shape("write", "data", data, tensor.shape);
  backend.submit("write", {data}, {tensor}, [=](Context&) { std::memmove(tensor.storage->data(), data.storage->data(), tensor.storage->bytes()); });
}

Tensor reshape(const Tensor& x, const Shape& shape) {
  expect_elements("reshape", "x", x);
  if (tensor_bytes("reshape", x.dtype, shape) != x.storage->bytes()) fail_shape("reshape", format(x.shape) + " does not fill " + format(shape));
  return {x.storage, x.dtype, shape};
}

}  // namespace kvsift::launch

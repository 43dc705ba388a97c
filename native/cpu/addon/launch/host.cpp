#include "launch/host.h"

#include "launch/check.h"
#include "ops/layout.h"
#include "runtime/letter.h"
#include "runtime/staged.h"

namespace kvsift::launch {

namespace {

void expect_bytes(const char* op, std::size_t expected, std::size_t bytes) {
  if (expected != bytes) fail_shape(op, "takes " + std::to_string(expected) + " bytes, not " + std::to_string(bytes));
}

}  // namespace

Tensor upload(Backend& backend, const void* data, std::size_t bytes, DType dtype, const Shape& shape) {
  const Tensor out = backend.make("upload", dtype, shape);
  expect_bytes("upload", out.storage->bytes(), bytes);
  const auto staged = std::make_shared<Staged>("upload", backend.memory(), data, bytes);
  if (backend.recording()) {
    backend.submit("upload", {}, {out}, [=](Context& context) { staged->copy_into(context, *out.storage); });
  } else {
    Op op;
    op.name = "upload";
    op.outputs = {out.storage};
    op.run = [=](Context& context) { staged->move_into(context, *out.storage); };
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
  backend.submit("write", {}, {tensor}, [=](Context& context) { staged->copy_into(context, *tensor.storage); });
}

void assign(Backend& backend, const Tensor& tensor, const Tensor& data) {
  demand(!tensor.storage->weight && !data.storage->weight, "write", "a weight cannot be overwritten, nor copied");
  expect_dtype("write", "data", data, tensor.dtype);
  expect_shape("write", "data", data, tensor.shape);
  if (data.storage == tensor.storage) return;
  backend.submit("write", {data}, {tensor}, [=](Context& context) {
    const std::size_t bytes = tensor.storage->bytes();
    ops::copy_pieces(context, data.storage->data(), bytes, tensor.storage->data(), bytes, bytes, 1);
  });
}

void write_rows(Backend& backend, const Tensor& tensor, std::size_t row, const Tensor& data) {
  expect_elements("writeRows", "tensor", tensor);
  expect_dtype("writeRows", "data", data, tensor.dtype);
  demand(tensor.shape.rank() > 0 && data.storage != tensor.storage, "writeRows", "writeRows: needs rows, and those of another tensor");
  Shape expected = tensor.shape;
  expected[0] = data.shape[0];
  expect_shape("writeRows", "data", data, expected);
  demand(row <= tensor.shape[0] && data.shape[0] <= tensor.shape[0] - row, "writeRows", "writeRows: the rows lie outside");
  backend.submit("writeRows", {data, tensor}, {tensor}, [=](Context& context) {
    const std::size_t bytes = data.storage->bytes();
    if (bytes == 0) return;
    auto* to = static_cast<std::byte*>(tensor.storage->data()) + row * (bytes / data.shape[0]);
    ops::copy_pieces(context, data.storage->data(), bytes, to, bytes, bytes, 1);
  });
}

void receive(Backend& backend, const Tensor& tensor, Backend& from, const Tensor& data) {
  demand(!tensor.storage->weight && !data.storage->weight, "receive", "a weight cannot be overwritten, nor copied");
  demand(!backend.recording() && !from.recording(), "receive", "receive: not while a program is recorded");
  expect_dtype("receive", "data", data, tensor.dtype);
  expect_shape("receive", "data", data, tensor.shape);
  const auto sender = std::make_shared<LetterSender>();
  const auto letter = sender->receiver();
  // Not an input: a tensor that has no contents is answered too. Only the sending op holds the sender, so that nobody waits for one that never runs.
  from.submit("receive", {}, {}, [sender, storage = data.storage](Context& context) { sender->send(context, *storage); });
  backend.submit("receive", {}, {tensor}, [letter, storage = tensor.storage](Context& context) { receive_letter(letter, context, *storage); });
}

Tensor reshape(const Tensor& x, const Shape& shape) {
  expect_elements("reshape", "x", x);
  if (tensor_bytes("reshape", x.dtype, shape) != x.storage->bytes()) fail_shape("reshape", format(x.shape) + " does not fill " + format(shape));
  return {x.storage, x.dtype, shape};
}

}  // namespace kvsift::launch

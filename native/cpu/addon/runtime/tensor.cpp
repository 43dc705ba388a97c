#include "runtime/tensor.h"

namespace kvsift {

std::string format(const Shape& shape) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.rank(); axis++) text += (axis == 0 ? "" : ", ") + std::to_string(shape[axis]);
  return text + "]";
}

std::size_t tensor_bytes(const char* op, DType dtype, const Shape& shape) {
  const BlockLayout layout = block_layout(dtype);
  if (shape.back() % layout.values != 0) {
    throw Fault(Code::shape_mismatch, op, std::string("a ") + dtype_name(dtype) + " row holds whole blocks, not " + format(shape));
  }
  std::size_t bytes = layout.bytes;
  bool overflow = false;
  for (std::size_t axis = 0; axis < shape.rank(); axis++) {
    const std::size_t size = axis + 1 == shape.rank() ? shape[axis] / layout.values : shape[axis];
    overflow = overflow || __builtin_mul_overflow(bytes, size, &bytes);
  }
  if (overflow || bytes > (std::size_t{1} << 46)) {
    throw Fault(Code::out_of_memory, op, std::string(dtype_name(dtype)) + " " + format(shape) + " is more than any machine holds");
  }
  return bytes;
}

}  // namespace kvsift

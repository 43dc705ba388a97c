#pragma once

#include <string>

#include "runtime/failure.h"
#include "runtime/tensor.h"

namespace kvsift {

/** What the addon makes sure of by itself, whatever the TypeScript above has checked: memory safety. @throws Fault */
inline void expect_dtype(const char* op, const char* name, const Tensor& tensor, DType dtype) {
  if (tensor.dtype == dtype && !tensor.storage->weight) return;
  throw Fault(Code::dtype_mismatch, op, std::string(op) + ": " + name + " must be " + dtype_name(dtype) + ", not " +
                                            (tensor.storage->weight ? "a weight" : dtype_name(tensor.dtype)));
}

inline void expect_shape(const char* op, const char* name, const Tensor& tensor, const Shape& shape) {
  if (tensor.shape == shape) return;
  throw Fault(Code::shape_mismatch, op, std::string(op) + ": " + name + " must be " + format(shape) + ", not " + format(tensor.shape));
}

inline void expect(const char* op, const char* name, const Tensor& tensor, DType dtype, const Shape& shape) {
  expect_dtype(op, name, tensor, dtype);
  expect_shape(op, name, tensor, shape);
}

/** A matrix of f32. */
inline void expect_matrix(const char* op, const char* name, const Tensor& tensor) {
  expect_dtype(op, name, tensor, DType::f32);
  if (tensor.shape.rank() != 2) throw Fault(Code::shape_mismatch, op, std::string(op) + ": " + name + " must be a matrix, not " + format(tensor.shape));
}

/** Elements, not blocks or a weight. */
inline void expect_elements(const char* op, const char* name, const Tensor& tensor) {
  if (is_element(tensor.dtype) && !tensor.storage->weight) return;
  throw Fault(Code::dtype_mismatch, op, std::string(op) + ": " + name + " must hold elements, not " + dtype_name(tensor.dtype));
}

[[noreturn]] inline void fail_shape(const char* op, const std::string& sentence) {
  throw Fault(Code::shape_mismatch, op, std::string(op) + ": " + sentence);
}

}  // namespace kvsift

#pragma once

#include "launch/backend.h"

namespace kvsift::launch {

/** Copies host data in at once; `bytes` must be what the shape takes. */
Tensor upload(Backend& backend, const void* data, std::size_t bytes, DType dtype, const Shape& shape);
/** Uninitialised memory. */
Tensor empty(Backend& backend, DType dtype, const Shape& shape);
/** Replaces the contents in stream order; the data are copied at once. */
void write(Backend& backend, const Tensor& tensor, const void* data, std::size_t bytes);
/** Copies a tensor of the same dtype and shape over `tensor`. */
void assign(Backend& backend, const Tensor& tensor, const Tensor& data);
/** Copies the rows of `data` over those of `tensor` from `row` on. */
void write_rows(Backend& backend, const Tensor& tensor, std::size_t row, const Tensor& data);
/** Copies a tensor of another backend over `tensor`, when both streams have come that far. */
void receive(Backend& backend, const Tensor& tensor, Backend& from, const Tensor& data);
/** The same memory under another shape. */
Tensor reshape(const Tensor& x, const Shape& shape);

}  // namespace kvsift::launch

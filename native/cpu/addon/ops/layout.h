#pragma once

#include <cstddef>

#include "kvsift/context.h"
#include "runtime/tensor.h"

namespace kvsift::ops {

/** `rows` pieces of `bytes` bytes: piece i from `from + i * from_stride` to `to + i * to_stride`. What slice and concat come down to. */
void copy_pieces(Context& context, const void* from, std::size_t from_stride, void* to, std::size_t to_stride, std::size_t bytes, std::size_t rows);

/**
 * Axes in a new order.
 * @param size bytes of one element: 1, 2 or 4
 * @param order axis of x behind each axis of the result
 */
void transpose(Context& context, const void* x, std::size_t size, const Shape& shape, const Shape& order, void* out);

/** out [columns, rows] of x [rows, columns] with rows `stride` apart, on the calling thread. */
void transpose_matrix(const float* x, std::size_t stride, std::size_t rows, std::size_t columns, float* out);

}  // namespace kvsift::ops

#pragma once

#include "runtime/tensor.h"

namespace kvsift::ops {

/** NumPy's rule; false where the shapes do not fit. */
bool broadcast(const Shape& a, const Shape& b, Shape& out);

/** Elements from one place to the next along each axis of `target` in an operand of `shape`: 0 where the operand repeats. */
Shape broadcast_steps(const Shape& shape, const Shape& target);

}  // namespace kvsift::ops

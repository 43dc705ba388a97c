#include "ops/broadcast.h"

#include <algorithm>

namespace kvsift::ops {

bool broadcast(const Shape& a, const Shape& b, Shape& out) {
  Shape both;
  const std::size_t rank = std::max(a.rank(), b.rank());
  for (std::size_t axis = 0; axis < rank; axis++) {
    const std::size_t x = axis + a.rank() < rank ? 1 : a[axis + a.rank() - rank];
    const std::size_t y = axis + b.rank() < rank ? 1 : b[axis + b.rank() - rank];
    if (x != y && x != 1 && y != 1) return false;
    both.push(x == 1 ? y : x);
  }
  out = both;
  return true;
}

Shape broadcast_steps(const Shape& shape, const Shape& target) {
  Shape steps;
  for (std::size_t axis = 0; axis < target.rank(); axis++) steps.push(0);
  std::size_t step = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    if (shape[axis] != 1) steps[axis + target.rank() - shape.rank()] = step;
    step *= shape[axis];
  }
  return steps;
}

}  // namespace kvsift::ops

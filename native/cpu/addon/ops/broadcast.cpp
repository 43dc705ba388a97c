#include "ops/elementwise.h"

namespace kvsift::ops {

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

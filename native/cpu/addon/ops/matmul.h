#pragma once

#include <cstddef>

#include "kvsift/context.h"
#include "kvsift/weights.h"
#include "runtime/tensor.h"

namespace kvsift::ops {

/** Sizes of a batch of products [rows, inner] × [inner, columns] with broadcast leading axes. */
struct MatmulShape {
  std::size_t rows = 0;
  std::size_t inner = 0;
  std::size_t columns = 0;
  /** b is [columns, inner]. */
  bool transpose_b = false;
  /** Leading axes of the result, and the step of each in matrices of a and b. */
  Shape lead;
  Shape a_steps;
  Shape b_steps;

  /** Numbers of b, whose matrices may serve several of a's. */
  std::size_t b_count() const {
    std::size_t count = inner * columns;
    for (std::size_t axis = 0; axis < lead.rank(); axis++) count *= b_steps[axis] == 0 ? 1 : lead[axis];
    return count;
  }
};

/** The right operand: f32, f16 or bf16. */
struct Stored {
  const void* data;
  DType type = DType::f32;
};

/**
 * f32 [lead..., rows, columns]; accumulated in f32 over blocks of the inner axis. Threads do not change the result.
 * @param coarse operands may be rounded as `compute` rounds those of other products
 */
void matmul(Context& context, Compute compute, bool coarse, const MatmulShape& shape, const float* a, const Stored& b, float* out);

}  // namespace kvsift::ops

#pragma once

#include "kvsift_cuda.h"
#include "math/numbers.h"

// Arithmetic of the ops on rows, one element at a time.
namespace kvsift::KVSIFT_TARGET {

KVSIFT_BOTH float activate(kvsift_cuda_activation kind, float x) {
  switch (kind) {
    case KVSIFT_CUDA_SILU: return x / (1 + expf(-x));
    case KVSIFT_CUDA_GELU_TANH: return 0.5f * x * (1 + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
    default: return 0.5f * x * (1 + erff(x * 0.70710678118654752f));
  }
}

struct Rotation {
  float cosine, sine;
};

/** cos and sin of position · frequency: the angle in double and brought to (−π, π], the functions of it in float. */
KVSIFT_BOTH Rotation rotation(std::int32_t position, float frequency, float scale) {
  const double angle = static_cast<double>(position) * static_cast<double>(frequency);
  const auto rest = static_cast<float>(angle - 6.283185307179586477 * rint(angle * 0.15915494309189533577));
  return {cosf(rest) * scale, sinf(rest) * scale};
}

KVSIFT_BOTH float apply_unary(kvsift_cuda_unary_op op, float x) {
  switch (op) {
    case KVSIFT_CUDA_EXP: return expf(x);
    case KVSIFT_CUDA_LOG: return logf(x);
    case KVSIFT_CUDA_SQRT: return sqrtf(x);
    case KVSIFT_CUDA_ABS: return fabsf(x);
    case KVSIFT_CUDA_NEG: return -x;
    case KVSIFT_CUDA_SQUARE: return x * x;
    case KVSIFT_CUDA_RECIPROCAL: return 1 / x;
    case KVSIFT_CUDA_FLOOR: return floorf(x);
    default: return x - x == 0 ? 1.0f : 0.0f;
  }
}

KVSIFT_BOTH float larger(float a, float b) { return a != a || a > b ? a : b; }
KVSIFT_BOTH float smaller(float a, float b) { return a != a || a < b ? a : b; }

KVSIFT_BOTH float apply_binary(kvsift_cuda_binary_op op, float a, float b) {
  switch (op) {
    case KVSIFT_CUDA_ADD: return a + b;
    case KVSIFT_CUDA_SUB: return a - b;
    case KVSIFT_CUDA_MUL: return a * b;
    case KVSIFT_CUDA_DIV: return a / b;
    case KVSIFT_CUDA_MAX: return larger(a, b);
    case KVSIFT_CUDA_MIN: return smaller(a, b);
    default: return a < b ? 1.0f : 0.0f;
  }
}

/** Fraction dropped; NaN becomes 0 and what i32 cannot hold its nearest end. */
KVSIFT_BOTH std::int32_t to_integer(float x) {
  if (x != x) return 0;
  if (x >= 2147483648.0f) return 2147483647;
  if (x <= -2147483648.0f) return -2147483647 - 1;
  return static_cast<std::int32_t>(x);
}

/** The weights of sampling as integers of this many bits below the largest, so that sums do not depend on their order. */
constexpr int sample_bits = 43;

/** Weight of a logit, 2^43 for the largest. NaN counts as −∞. */
KVSIFT_BOTH unsigned long long sample_weight(float logit, float best, float temperature) {
  const float x = logit != logit ? lowest : logit;
  const double share = x == best ? 1.0 : exp((static_cast<double>(x) - static_cast<double>(best)) / temperature);
  return static_cast<unsigned long long>(ldexp(share, sample_bits));
}

/** Integer weight that the kept set must reach for a share `top_p` of `total`. */
KVSIFT_BOTH unsigned long long top_p_goal(unsigned long long total, float top_p) {
  if (top_p >= 1) return total;
  const double goal = ceil(static_cast<double>(total) * static_cast<double>(top_p));
  return goal < 1 ? 1 : goal >= static_cast<double>(total) ? total : static_cast<unsigned long long>(goal);
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace kvsift {

/**
 * While it lives, this thread takes numbers below 2⁻¹²⁶ for 0. Weights of entries far below the top are such numbers, and x86 computes them in microcode:
 * attention over logits of a wide range took four times as long. Other machines lose nothing by them.
 */
class FlushScope {
 public:
#if defined(__x86_64__)
  FlushScope() : before_(_mm_getcsr()) { _mm_setcsr(before_ | results_to_zero | operands_as_zero); }
  ~FlushScope() { _mm_setcsr(before_); }
#else
  FlushScope() = default;
#endif
  FlushScope(const FlushScope&) = delete;
  FlushScope& operator=(const FlushScope&) = delete;

#if defined(__x86_64__)
 private:
  static constexpr unsigned results_to_zero = 0x8000;
  static constexpr unsigned operands_as_zero = 0x0040;
  unsigned before_;
#endif
};

}  // namespace kvsift

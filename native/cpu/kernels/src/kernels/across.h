#pragma once

// Vectors joined to one number each. Compiled with what uses it once per instruction set.

#include "../simd.h"

#if defined(__AVX512F__)

namespace kvsift::KVSIFT_NS {

/** The sum of each of 16 vectors, or the largest in each; all are joined at once. */
template <bool Maximum = false>
KVSIFT_INLINE F across_16(const F (&x)[16]) {
  const auto join = [](F a, F b) __attribute__((always_inline)) { return Maximum ? max_of(a, b) : a + b; };
  F pairs[8];
  KVSIFT_UNROLL for (int i = 0; i < 8; i++) pairs[i] = join(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
  F fours[4];
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
    const __m512d a = _mm512_castps_pd(pairs[2 * i]);
    const __m512d b = _mm512_castps_pd(pairs[2 * i + 1]);
    fours[i] = join(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  F eights[2];
  KVSIFT_UNROLL for (int i = 0; i < 2; i++) {
    eights[i] = join(_mm512_shuffle_f32x4(fours[2 * i], fours[2 * i + 1], 0x88), _mm512_shuffle_f32x4(fours[2 * i], fours[2 * i + 1], 0xdd));
  }
  return join(_mm512_shuffle_f32x4(eights[0], eights[1], 0x88), _mm512_shuffle_f32x4(eights[0], eights[1], 0xdd));
}

}  // namespace kvsift::KVSIFT_NS

#endif

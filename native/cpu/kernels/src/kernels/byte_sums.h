#pragma once

// Sums of products of codes (unsigned bytes) and activations (signed bytes up to 127 either way). Compiled once per instruction set.

#include "../simd.h"

namespace kvsift::KVSIFT_NS {

/** Largest code of the formats: 4 bits, up to 6, more. The last have 128 as their zero and no minimums. */
inline constexpr int nibbles = 15;
inline constexpr int six_bits = 63;
inline constexpr int whole_bytes = 255;

/** Only sets without a direct product of bytes of both signs tell them apart. */
#if (defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)) || (defined(KVSIFT_NEON) && !defined(__ARM_FEATURE_MATMUL_INT8))
inline constexpr bool top_matters = true;
#else
inline constexpr bool top_matters = false;
#endif

#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)

#if defined(__AVX512F__)
using Bits = __m512i;
KVSIFT_INLINE I add_halves(I a, I b) { return reinterpret_cast<I>(_mm512_add_epi16(reinterpret_cast<Bits>(a), reinterpret_cast<Bits>(b))); }
KVSIFT_INLINE I byte_pairs(I w, I x) { return reinterpret_cast<I>(_mm512_maddubs_epi16(reinterpret_cast<Bits>(w), reinterpret_cast<Bits>(x))); }
KVSIFT_INLINE I half_pairs(I x) { return reinterpret_cast<I>(_mm512_madd_epi16(reinterpret_cast<Bits>(x), _mm512_set1_epi16(1))); }
KVSIFT_INLINE I absolute_bytes(I x) { return reinterpret_cast<I>(_mm512_abs_epi8(reinterpret_cast<Bits>(x))); }
#else
using Bits = __m256i;
KVSIFT_INLINE I add_halves(I a, I b) { return reinterpret_cast<I>(_mm256_add_epi16(reinterpret_cast<Bits>(a), reinterpret_cast<Bits>(b))); }
KVSIFT_INLINE I byte_pairs(I w, I x) { return reinterpret_cast<I>(_mm256_maddubs_epi16(reinterpret_cast<Bits>(w), reinterpret_cast<Bits>(x))); }
KVSIFT_INLINE I half_pairs(I x) { return reinterpret_cast<I>(_mm256_madd_epi16(reinterpret_cast<Bits>(x), _mm256_set1_epi16(1))); }
KVSIFT_INLINE I absolute_bytes(I x) { return reinterpret_cast<I>(_mm256_abs_epi8(reinterpret_cast<Bits>(x))); }
#endif

/** Else GCC first makes all products, for which there are no registers, and then adds them up in a tree. */
KVSIFT_INLINE void in_turn(I& sum) { asm("" : "+v"(sum)); }

/**
 * A sum of products, step by step. Where products of two pass through 16 bits, as many of them are added up there, in `some`, as fit for sure.
 */
template <int Top>
struct ByteSum {
  static constexpr int together = 32767 / (2 * Top * 127);
  using Weight = I;

  KVSIFT_INLINE I prepare(I codes) { return codes; }
  KVSIFT_INLINE I start(I extra) { return extra; }
  KVSIFT_INLINE void add(I& total, I& some, I weight, I x, int step, int steps) {
    const I pairs = byte_pairs(weight, x);
    some = step % together == 0 ? pairs : add_halves(some, pairs);
    in_turn(some);
    if (step % together != together - 1 && step != steps - 1) return;
    total += half_pairs(some);
    in_turn(total);
  }
};

/** |code − 128| times the activation with that sign: two such products fit 16 bits. Nothing is left to make up for at the start. */
template <>
struct ByteSum<whole_bytes> {
  struct Weight {
    I magnitude;
#if defined(__AVX512F__)
    __mmask64 negative;
#else
    I sign;
#endif
  };

  KVSIFT_INLINE Weight prepare(I codes) {
    const I centered = codes ^ splat(static_cast<std::int32_t>(0x80808080U));
#if defined(__AVX512F__)
    return {absolute_bytes(centered), _mm512_movepi8_mask(reinterpret_cast<Bits>(centered))};
#else
    return {absolute_bytes(centered), centered};
#endif
  }
  KVSIFT_INLINE I start(I) { return splat(std::int32_t{0}); }
  KVSIFT_INLINE void add(I& total, I&, const Weight& weight, I x, int, int) {
#if defined(__AVX512F__)
    const Bits values = reinterpret_cast<Bits>(x);
    const Bits with_sign = _mm512_mask_sub_epi8(values, weight.negative, _mm512_setzero_si512(), values);
#else
    const Bits with_sign = _mm256_sign_epi8(reinterpret_cast<Bits>(x), reinterpret_cast<Bits>(weight.sign));
#endif
    total += half_pairs(byte_pairs(weight.magnitude, reinterpret_cast<I>(with_sign)));
    in_turn(total);
  }
};

#else

/** acc + Σ of four products of unsigned bytes w and signed bytes x per lane. `Wide`: w may exceed 127. */
template <bool Wide>
KVSIFT_INLINE I dot4(I acc, I w, I x) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<I>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(x)));
#elif defined(__AVXVNNI__)
  return reinterpret_cast<I>(_mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(acc), reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(x)));
#elif defined(KVSIFT_NEON)
  return dot4_neon<Wide>(acc, w, x);
#else
  KVSIFT_UNROLL for (int byte = 0; byte < 4; byte++) acc += ((w >> (8 * byte)) & 255) * ((x << (24 - 8 * byte)) >> 24);
  return acc;
#endif
}

template <int Top>
struct ByteSum {
  using Weight = I;

  KVSIFT_INLINE I prepare(I codes) { return codes; }
  KVSIFT_INLINE I start(I extra) { return extra; }
  KVSIFT_INLINE void add(I& total, I&, I weight, I x, int, int) { total = dot4<(Top > 127)>(total, weight, x); }
};

#endif

}  // namespace kvsift::KVSIFT_NS

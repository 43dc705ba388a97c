#pragma once

// Vectors of one instruction set. Included only by files that are compiled once per set, with KVSIFT_NS naming it: everything lies in that
// namespace, so that no inline function of one set is linked into another.

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && !defined(KVSIFT_PORTABLE)
#include <arm_neon.h>
#define KVSIFT_NEON
#endif

#define KVSIFT_INLINE static inline __attribute__((always_inline))
#define KVSIFT_UNROLL _Pragma("GCC unroll 32")

namespace kvsift::KVSIFT_NS {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX2__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

typedef float F __attribute__((vector_size(lanes * 4)));
typedef std::int32_t I __attribute__((vector_size(lanes * 4)));
typedef float AnyF __attribute__((vector_size(lanes * 4), aligned(1), may_alias));
typedef std::int32_t AnyI __attribute__((vector_size(lanes * 4), aligned(1), may_alias));

KVSIFT_INLINE F load(const float* p) { return *reinterpret_cast<const AnyF*>(p); }
KVSIFT_INLINE void store(float* p, F x) { *reinterpret_cast<AnyF*>(p) = x; }
KVSIFT_INLINE I load_bits(const void* p) { return *static_cast<const AnyI*>(p); }
KVSIFT_INLINE void store_bits(void* p, I x) { *static_cast<AnyI*>(p) = x; }

/** Four bytes at any address. */
KVSIFT_INLINE std::int32_t word_at(const void* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

KVSIFT_INLINE std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }

#if defined(__AVX2__)
/** A half at any address. */
KVSIFT_INLINE float half_of(const void* p) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return _cvtsh_ss(bits);
}
#endif

#if defined(__AVX512F__)

KVSIFT_INLINE F splat(float x) { return _mm512_set1_ps(x); }
KVSIFT_INLINE F max_of(F a, F b) { return _mm512_max_ps(a, b); }
KVSIFT_INLINE I splat(std::int32_t x) { return reinterpret_cast<I>(_mm512_set1_epi32(x)); }
KVSIFT_INLINE F to_float(I x) { return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(x)); }
/** Nearest even. */
KVSIFT_INLINE I to_int(F x) { return reinterpret_cast<I>(_mm512_cvtps_epi32(x)); }
KVSIFT_INLINE float sum_of(F x) { return _mm512_reduce_add_ps(x); }
KVSIFT_INLINE float max_in(F x) { return _mm512_reduce_max_ps(x); }
KVSIFT_INLINE std::int32_t sum_of(I x) { return _mm512_reduce_add_epi32(reinterpret_cast<__m512i>(x)); }
KVSIFT_INLINE F load_f16(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
KVSIFT_INLINE void store_f16(void* p, F x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
KVSIFT_INLINE F load_bf16(const void* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))), 16));
}
/** The low 16 bits of each lane. */
KVSIFT_INLINE void store_halves(void* p, I x) { _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(x))); }
/** The low 8 bits of each lane. */
KVSIFT_INLINE void store_bytes(void* p, I x) { _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(x))); }
/** Signed bytes. */
KVSIFT_INLINE I load_bytes(const void* p) { return reinterpret_cast<I>(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))); }
/** fraction · 2^whole for whole-numbered floats; 0 far below. */
KVSIFT_INLINE F scale_by_power(F fraction, F whole) { return _mm512_scalef_ps(fraction, whole); }
KVSIFT_INLINE F round_to_whole(F x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
KVSIFT_INLINE I look_up(I table, I nibbles) {
  return reinterpret_cast<I>(_mm512_shuffle_epi8(reinterpret_cast<__m512i>(table), reinterpret_cast<__m512i>(nibbles)));
}
KVSIFT_INLINE I table_of(const std::uint8_t* sixteen) {
  return reinterpret_cast<I>(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sixteen))));
}

#elif defined(__AVX2__)

KVSIFT_INLINE F splat(float x) { return _mm256_set1_ps(x); }
KVSIFT_INLINE F max_of(F a, F b) { return _mm256_max_ps(a, b); }
KVSIFT_INLINE I splat(std::int32_t x) { return reinterpret_cast<I>(_mm256_set1_epi32(x)); }
KVSIFT_INLINE F to_float(I x) { return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(x)); }
KVSIFT_INLINE I to_int(F x) { return reinterpret_cast<I>(_mm256_cvtps_epi32(x)); }
KVSIFT_INLINE float sum_of(F x) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
KVSIFT_INLINE float max_in(F x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
KVSIFT_INLINE std::int32_t sum_of(I x) {
  const __m256i all = reinterpret_cast<__m256i>(x);
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  half = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
  return _mm_cvtsi128_si32(half) + _mm_extract_epi32(half, 1);
}
KVSIFT_INLINE F load_f16(const void* p) { return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
KVSIFT_INLINE void store_f16(void* p, F x) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
KVSIFT_INLINE F load_bf16(const void* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))), 16));
}
/** The low 16 bits of each lane. */
KVSIFT_INLINE void store_halves(void* p, I x) {
  const __m256i low = _mm256_and_si256(reinterpret_cast<__m256i>(x), _mm256_set1_epi32(0xffff));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
}
/** The low 8 bits of each lane. */
KVSIFT_INLINE void store_bytes(void* p, I x) {
  const __m256i low = _mm256_and_si256(reinterpret_cast<__m256i>(x), _mm256_set1_epi32(0xff));
  const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
}
KVSIFT_INLINE I load_bytes(const void* p) { return reinterpret_cast<I>(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)))); }
KVSIFT_INLINE F round_to_whole(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
KVSIFT_INLINE F scale_by_power(F fraction, F whole) {
  const F floor = splat(-127.0F);
  const I power = (to_int(whole > floor ? whole : floor) + 127) << 23;
  return fraction * reinterpret_cast<F>(power);
}
KVSIFT_INLINE I look_up(I table, I nibbles) {
  return reinterpret_cast<I>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(table), reinterpret_cast<__m256i>(nibbles)));
}
KVSIFT_INLINE I table_of(const std::uint8_t* sixteen) {
  return reinterpret_cast<I>(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sixteen))));
}

#elif defined(KVSIFT_NEON)
}
#include "simd_neon.h"
namespace kvsift::KVSIFT_NS {
#else

KVSIFT_INLINE F splat(float x) { return F{x, x, x, x}; }
KVSIFT_INLINE F max_of(F a, F b) { return a > b ? a : b; }
KVSIFT_INLINE I splat(std::int32_t x) { return I{x, x, x, x}; }
KVSIFT_INLINE F to_float(I x) { return __builtin_convertvector(x, F); }
KVSIFT_INLINE F round_to_whole(F x) {
  const F magic = splat(12582912.0F);
  const F whole = (x + magic) - magic;
  const F big = splat(4194304.0F);
  const I is_big = (x > big) | (x < -big);
  return is_big ? x : whole;
}
KVSIFT_INLINE I to_int(F x) { return __builtin_convertvector(round_to_whole(x), I); }
KVSIFT_INLINE float sum_of(F x) { return (x[0] + x[2]) + (x[1] + x[3]); }
KVSIFT_INLINE float max_in(F x) {
  const float a = x[0] > x[2] ? x[0] : x[2];
  const float b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}
KVSIFT_INLINE std::int32_t sum_of(I x) { return x[0] + x[1] + x[2] + x[3]; }
KVSIFT_INLINE std::uint16_t half_at(const void* p, int lane) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, static_cast<const char*>(p) + 2 * lane, 2);
  return bits;
}
KVSIFT_INLINE float widen_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(bits & 0x7fffU) << 13;
  const float scaled = __builtin_bit_cast(float, rest) * 0x1p112F;
  const std::uint32_t wide = __builtin_bit_cast(std::uint32_t, scaled) | ((bits & 0x7c00U) == 0x7c00U ? 0x7f800000U : 0U);
  return __builtin_bit_cast(float, wide | sign);
}
KVSIFT_INLINE F load_f16(const void* p) {
  return F{widen_f16(half_at(p, 0)), widen_f16(half_at(p, 1)), widen_f16(half_at(p, 2)), widen_f16(half_at(p, 3))};
}
KVSIFT_INLINE void store_halves(void* p, I x) {
  for (int lane = 0; lane < lanes; lane++) {
    const auto bits = static_cast<std::uint16_t>(x[lane]);
    __builtin_memcpy(static_cast<char*>(p) + 2 * lane, &bits, 2);
  }
}
KVSIFT_INLINE std::int32_t narrow_f16(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::int32_t>(sign | 0x7e00U | (magnitude >> 13 & 0x1ffU));
  if (magnitude >= 0x477ff000U) return static_cast<std::int32_t>(sign | 0x7c00U);
  if (magnitude < 0x38800000U) {
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5F;
    return static_cast<std::int32_t>(sign | (__builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000U));
  }
  return static_cast<std::int32_t>(sign | ((magnitude + 0xfffU + (magnitude >> 13 & 1U) - 0x38000000U) >> 13));
}
KVSIFT_INLINE void store_f16(void* p, F x) { store_halves(p, I{narrow_f16(x[0]), narrow_f16(x[1]), narrow_f16(x[2]), narrow_f16(x[3])}); }
KVSIFT_INLINE F load_bf16(const void* p) { return reinterpret_cast<F>(I{half_at(p, 0) << 16, half_at(p, 1) << 16, half_at(p, 2) << 16, half_at(p, 3) << 16}); }
KVSIFT_INLINE void store_bytes(void* p, I x) {
  for (int lane = 0; lane < lanes; lane++) static_cast<std::uint8_t*>(p)[lane] = static_cast<std::uint8_t>(x[lane]);
}
KVSIFT_INLINE F scale_by_power(F fraction, F whole) {
  const F floor = splat(-127.0F);
  const I power = (to_int(whole > floor ? whole : floor) + 127) << 23;
  return fraction * reinterpret_cast<F>(power);
}
KVSIFT_INLINE I load_bytes(const void* p) {
  std::int8_t bytes[4];
  __builtin_memcpy(bytes, p, 4);
  return I{bytes[0], bytes[1], bytes[2], bytes[3]};
}
KVSIFT_INLINE float half_of(const void* p) { return widen_f16(half_at(p, 0)); }
KVSIFT_INLINE I look_up(I table, I nibbles) {
  typedef std::uint8_t Bytes __attribute__((vector_size(16)));
  return reinterpret_cast<I>(__builtin_shuffle(reinterpret_cast<Bytes>(table), reinterpret_cast<Bytes>(nibbles)));
}
KVSIFT_INLINE I table_of(const std::uint8_t* sixteen) { return load_bits(sixteen); }

#endif

/** bf16 bits of each lane, nearest even; NaN stays NaN. */
KVSIFT_INLINE I bf16_bits(F x) {
  const I bits = reinterpret_cast<I>(x);
  const I rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return x == x ? rounded : ((bits >> 16) | 0x40);
}
KVSIFT_INLINE void store_bf16(void* p, F x) { store_halves(p, bf16_bits(x)); }

/** 2^x; relative error below 2e-7, or 1e-4 where `Coarse`. −1e30 and below give 0. */
template <bool Coarse = false>
KVSIFT_INLINE F exp2_of(F x) {
#if defined(__AVX512DQ__)
  if constexpr (Coarse) {
    // x − ⌊x⌋ in one step, as scaling by 2^x takes the floor itself.
    const F f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return _mm512_scalef_ps(((0x1.3f96a4p-4F * f + 0x1.cefc4cp-3F) * f + 0x1.64444cp-1F) * f + 0x1.fff632p-1F, x);
  }
#endif
  const F whole = round_to_whole(x);
  const F f = x - whole;
  if constexpr (Coarse) {
    return scale_by_power(((0x1.c3f75ap-5F * f + 0x1.f0de1ap-3F) * f + 0x1.62f31ap-1F) * f + 0x1.fff692p-1F, whole);
  } else {
    return scale_by_power(((((0x1.5c08e2p-10F * f + 0x1.3d0c52p-7F) * f + 0x1.c6b6e4p-5F) * f + 0x1.ebf918p-3F) * f + 0x1.62e428p-1F) * f + 0x1.000002p+0F, whole);
  }
}

inline constexpr float log2_of_e = 1.44269504088896341F;

/** e^x. */
KVSIFT_INLINE F exp_of(F x) { return exp2_of(x * log2_of_e); }

/** tanh, relative error below 1e-6: by its series near 0, where the quotient of exponentials cancels. */
KVSIFT_INLINE F tanh_of(F x) {
  const F limit = splat(10.0F);
  F y = x > limit ? limit : x;
  y = y < -limit ? -limit : y;
  const F e = exp2_of(y * (2 * log2_of_e));
  const F z = y * y;
  const F near = y * (1.0F + z * (-1.0F / 3 + z * (2.0F / 15 + z * (-17.0F / 315 + z * (62.0F / 2835)))));
  return z < splat(0.0625F) ? near : (e - 1.0F) / (e + 1.0F);
}

}  // namespace kvsift::KVSIFT_NS

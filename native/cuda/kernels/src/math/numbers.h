#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "simt/simt.h"

// Elements, orders and random numbers: the same functions on the device and on the host.
namespace kvsift::KVSIFT_TARGET {

#if defined(KVSIFT_EMULATED) || !defined(__CUDACC__)
#define KVSIFT_BOTH inline
#else
#define KVSIFT_BOTH __host__ __device__ inline
#endif

template <class T, class F>
KVSIFT_BOTH T same_bits(F from) {
  static_assert(sizeof(T) == sizeof(F));
  T to;
  memcpy(&to, &from, sizeof to);
  return to;
}

constexpr float lowest = -__builtin_huge_valf();

KVSIFT_BOTH bool is_nan(float x) { return x != x; }

/** IEEE half to float, exact. */
KVSIFT_BOTH float f16_widen(std::uint16_t bits) {
#ifdef __CUDA_ARCH__
  float out;
  asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(bits));
  return out;
#else
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = bits >> 10 & 31u;
  const std::uint32_t fraction = bits & 1023u;
  if (exponent == 31) return same_bits<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    const float value = static_cast<float>(fraction) * 5.9604644775390625e-8f;
    return sign != 0 ? -value : value;
  }
  return same_bits<float>(sign | (exponent + 112) << 23 | fraction << 13);
#endif
}

/** Float to IEEE half, nearest even, overflow to infinity. */
KVSIFT_BOTH std::uint16_t f16_round(float value) {
#ifdef __CUDA_ARCH__
  std::uint16_t out;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out) : "f"(value));
  return out;
#else
  const std::uint32_t bits = same_bits<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const std::uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (size >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (size < 0x38800000u) {
    // Below the normal halves: adding 0.5 puts the last bit of a half at the last bit of the float.
    const float shifted = same_bits<float>(size) + 0.5f;
    return static_cast<std::uint16_t>(sign | (same_bits<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = size + 0xfffu + (size >> 13 & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
#endif
}

KVSIFT_BOTH float bf16_widen(std::uint16_t bits) { return same_bits<float>(static_cast<std::uint32_t>(bits) << 16); }

/** Float to bfloat16, nearest even; NaN stays NaN. */
KVSIFT_BOTH std::uint16_t bf16_round(float value) {
  const std::uint32_t bits = same_bits<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 64u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

struct F16 {
  static constexpr bool is_bf16 = false;
  std::uint16_t bits;
  KVSIFT_BOTH float widen() const { return f16_widen(bits); }
  KVSIFT_BOTH static F16 round(float x) { return {f16_round(x)}; }
};
struct BF16 {
  static constexpr bool is_bf16 = true;
  std::uint16_t bits;
  KVSIFT_BOTH float widen() const { return bf16_widen(bits); }
  KVSIFT_BOTH static BF16 round(float x) { return {bf16_round(x)}; }
};
struct F32 {
  float value;
  KVSIFT_BOTH float widen() const { return value; }
  KVSIFT_BOTH static F32 round(float x) { return {x}; }
};

/** Two elements in a register, the first in the low half. */
template <class Element>
KVSIFT_BOTH std::uint32_t pack2(float low, float high) {
#ifdef __CUDA_ARCH__
  std::uint32_t out;
  if constexpr (Element::is_bf16) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  }
  return out;
#else
  return Element::round(low).bits | static_cast<std::uint32_t>(Element::round(high).bits) << 16;
#endif
}

/** A number that grows with the value; both zeros are equal, NaN is above all. */
KVSIFT_BOTH std::uint32_t ascending(float value) {
  if (value != value) return 0xffffffffu;
  const std::uint32_t bits = same_bits<std::uint32_t>(value == 0 ? 0.0f : value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/** A number that falls as the score grows, from 1 on; NaN counts as −∞. */
KVSIFT_BOTH std::uint32_t descending(float score) { return ~ascending(score != score ? lowest : score); }

/** Philox4x32-10 (Salmon et al., SC 2011): four words in `counter`. */
KVSIFT_BOTH void philox(std::uint32_t (&counter)[4], std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    const std::uint64_t first = std::uint64_t{0xd2511f53u} * counter[0];
    const std::uint64_t second = std::uint64_t{0xcd9e8d57u} * counter[2];
    counter[0] = static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ key0;
    counter[2] = static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ key1;
    counter[1] = static_cast<std::uint32_t>(second);
    counter[3] = static_cast<std::uint32_t>(first);
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

/** The uniform number in (0, 1) of a word; exact in float32. */
KVSIFT_BOTH float uniform_of(std::uint32_t word) { return (static_cast<float>(word >> 9) + 0.5f) / 8388608.0f; }

}  // namespace kvsift::KVSIFT_TARGET

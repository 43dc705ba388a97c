#pragma once

// The vectors of 64-bit ARM. Part of simd.h, which says what each function does.

namespace kvsift::KVSIFT_NS {

KVSIFT_INLINE F splat(float x) { return vdupq_n_f32(x); }
KVSIFT_INLINE F max_of(F a, F b) { return a > b ? a : b; }
KVSIFT_INLINE I splat(std::int32_t x) { return vdupq_n_s32(x); }
KVSIFT_INLINE F to_float(I x) { return vcvtq_f32_s32(x); }
KVSIFT_INLINE I to_int(F x) { return vcvtnq_s32_f32(x); }
KVSIFT_INLINE F round_to_whole(F x) { return vrndnq_f32(x); }
KVSIFT_INLINE float sum_of(F x) { return vaddvq_f32(x); }
KVSIFT_INLINE float max_in(F x) { return vmaxnmvq_f32(x); }
KVSIFT_INLINE std::int32_t sum_of(I x) { return vaddvq_s32(x); }
KVSIFT_INLINE uint16x4_t load_words(const void* p) {
  uint16x4_t words;
  __builtin_memcpy(&words, p, sizeof words);
  return words;
}
KVSIFT_INLINE F load_f16(const void* p) { return vcvt_f32_f16(vreinterpret_f16_u16(load_words(p))); }
KVSIFT_INLINE void store_f16(void* p, F x) {
  const uint16x4_t words = vreinterpret_u16_f16(vcvt_f16_f32(x));
  __builtin_memcpy(p, &words, sizeof words);
}
KVSIFT_INLINE float half_of(const void* p) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0);
}
KVSIFT_INLINE F load_bf16(const void* p) { return vreinterpretq_f32_u32(vshll_n_u16(load_words(p), 16)); }
KVSIFT_INLINE void store_halves(void* p, I x) {
  const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(x));
  __builtin_memcpy(p, &words, sizeof words);
}
KVSIFT_INLINE void store_bytes(void* p, I x) {
  const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(x));
  const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
  __builtin_memcpy(p, &bytes, 4);
}
KVSIFT_INLINE I load_bytes(const void* p) {
  const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(word_at(p)));
  return vmovl_s16(vget_low_s16(vmovl_s8(bytes)));
}
KVSIFT_INLINE F scale_by_power(F fraction, F whole) {
  const I power = (to_int(vmaxnmq_f32(whole, splat(-127.0F))) + 127) << 23;
  return fraction * reinterpret_cast<F>(power);
}
KVSIFT_INLINE I look_up(I table, I nibbles) { return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(table), vreinterpretq_u8_s32(nibbles))); }
KVSIFT_INLINE I table_of(const std::uint8_t* sixteen) { return load_bits(sixteen); }

/** dot4: acc + Σ of four products of unsigned bytes w and signed bytes x per lane. */
template <bool Wide>
KVSIFT_INLINE I dot4_neon(I acc, I w, I x) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return vusdotq_s32(acc, vreinterpretq_u8_s32(w), vreinterpretq_s8_s32(x));
#elif defined(__ARM_FEATURE_DOTPROD)
  const int8x16_t values = vreinterpretq_s8_s32(x);
  if constexpr (Wide) {
    // w = (w − 128) + 64 + 64
    const int32x4_t shift = vdotq_s32(vdupq_n_s32(0), vdupq_n_s8(64), values);
    return vdotq_s32(acc, veorq_s8(vreinterpretq_s8_s32(w), vdupq_n_s8(-128)), values) + (shift << 1);
  } else {
    return vdotq_s32(acc, vreinterpretq_s8_s32(w), values);
  }
#else
  // A byte times a byte fits 16 bits whatever the signs.
  const uint8x16_t weights = vreinterpretq_u8_s32(w);
  const int8x16_t values = vreinterpretq_s8_s32(x);
  int16x8_t low;
  int16x8_t high;
  if constexpr (Wide) {
    low = vmulq_s16(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(weights))), vmovl_s8(vget_low_s8(values)));
    high = vmulq_s16(vreinterpretq_s16_u16(vmovl_high_u8(weights)), vmovl_high_s8(values));
  } else {
    low = vmull_s8(vget_low_s8(vreinterpretq_s8_u8(weights)), vget_low_s8(values));
    high = vmull_high_s8(vreinterpretq_s8_u8(weights), values);
  }
  return acc + vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#endif
}

}  // namespace kvsift::KVSIFT_NS

#pragma once

// Keys and values of a cache brought into the panels that matrix products read. Part of attention.cpp, compiled with it once per instruction set.

#include "../kernel_table.h"
#include "../simd.h"

namespace kvsift::KVSIFT_NS {

/** `lanes` values of blocks of q8_0 from `at` on, a multiple of `lanes`. */
KVSIFT_INLINE F load_q8(const std::byte* row, std::size_t at) {
  const std::byte* block = row + at / 32 * 34;
  return splat(half_of(block)) * to_float(load_bytes(block + 2 + at % 32));
}

KVSIFT_INLINE F load_element(DType type, const std::byte* row, std::size_t at) {
  if (type == DType::f32) return load(reinterpret_cast<const float*>(row) + at);
  if (type == DType::f16) return load_f16(row + 2 * at);
  if (type == DType::q8_0) return load_q8(row, at);
  return load_bf16(row + 2 * at);
}

/** For what is left of a row beside whole vectors; rows of q8_0 have no such rest. */
KVSIFT_INLINE float element_at(DType type, const std::byte* row, std::size_t at) {
  std::byte padded[4 * lanes] = {};
  __builtin_memcpy(padded, row + at * (type == DType::f32 ? 4 : 2), type == DType::f32 ? 4 : 2);
  return load_element(type, padded, 0)[0];
}

KVSIFT_INLINE std::uint32_t bf16_of(float x) {
  const I bits = bf16_bits(splat(x));
  return static_cast<std::uint32_t>(bits[0]) & 0xffffU;
}

/** As bf16, denormal numbers as 0 where the machine rounds. */
KVSIFT_INLINE void store_rounded(std::uint16_t* p, F x) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
#else
  store_bf16(p, x);
#endif
}

/** Two vectors, one behind the other. */
KVSIFT_INLINE void store_rounded(std::uint16_t* p, F x, F y) {
#if defined(__AVX512BF16__)
  store_bits(p, reinterpret_cast<I>(_mm512_cvtne2ps_pbh(y, x)));
#else
  store_bf16(p, x);
  store_bf16(p + lanes, y);
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
/** 8 x 8 words, turned. */
KVSIFT_INLINE void turn(__m256i (&r)[8]) {
  __m256i t[8];
  KVSIFT_UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  KVSIFT_UNROLL for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
  }
  KVSIFT_UNROLL for (int i = 0; i < 8; i++) r[i] = t[i];
}
#elif defined(__AVX512F__)
/** 16 x 16 words, turned. */
KVSIFT_INLINE void turn(__m512i (&r)[16]) {
  __m512i t[16];
  KVSIFT_UNROLL for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  KVSIFT_UNROLL for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
#endif

/** Turns 16 rows of `words` 32-bit words, `stride` bytes apart, into [words][16]; rows hold whole multiples of 16 words. */
KVSIFT_INLINE void turn_rows(const std::byte* rows, std::size_t stride, std::size_t words, std::byte* out) {
#if defined(__AVX512F__)
  for (std::size_t at = 0; at < words; at += 16) {
    __m512i r[16];
    KVSIFT_UNROLL for (std::size_t i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(rows + i * stride + at * 4);
    turn(r);
    const std::size_t count = least(16, words - at);
    for (std::size_t i = 0; i < count; i++) _mm512_storeu_si512(out + (at + i) * 64, r[i]);
  }
#elif defined(__AVX2__)
  for (std::size_t at = 0; at < words; at += 8) {
    const std::size_t count = least(8, words - at);
    for (std::size_t half = 0; half < 2; half++) {
      __m256i r[8];
      KVSIFT_UNROLL for (std::size_t i = 0; i < 8; i++) r[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + (half * 8 + i) * stride + at * 4));
      turn(r);
      for (std::size_t i = 0; i < count; i++) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (at + i) * 64 + half * 32), r[i]);
    }
  }
#else
  for (std::size_t i = 0; i < 16; i++) {
    for (std::size_t at = 0; at < words; at++) __builtin_memcpy(out + at * 64 + i * 4, rows + i * stride + at * 4, 4);
  }
#endif
}

/** One key as f32, or as bf16 pairs, padded with zeros to whole 64 bytes. */
KVSIFT_INLINE void key_words(DType type, const std::byte* row, std::size_t head_dim, bool pairs, std::byte* out, std::size_t bytes) {
  std::size_t c = 0;
  if (pairs && type == DType::bf16) {
    __builtin_memcpy(out, row, 2 * head_dim);
    c = head_dim;
  } else if (pairs) {
    for (; c + lanes <= head_dim; c += lanes) store_rounded(reinterpret_cast<std::uint16_t*>(out) + c, load_element(type, row, c));
    for (; c < head_dim; c++) {
      const auto bits = static_cast<std::uint16_t>(bf16_of(element_at(type, row, c)));
      __builtin_memcpy(out + 2 * c, &bits, 2);
    }
  } else {
    for (; c + lanes <= head_dim; c += lanes) store(reinterpret_cast<float*>(out) + c, load_element(type, row, c));
    for (; c < head_dim; c++) reinterpret_cast<float*>(out)[c] = element_at(type, row, c);
  }
  const std::size_t used = c * (pairs ? 2 : 4);
  if (used < bytes) __builtin_memset(out + used, 0, bytes - used);
}

KVSIFT_INLINE void pack_keys(DType type, const std::byte* const* rows, std::size_t count, std::size_t head_dim, bool pairs, std::byte* scratch, std::byte* tile) {
  const std::size_t words = pairs ? (head_dim + 1) / 2 : head_dim;
  const std::size_t stride = (words + 15) / 16 * 64;
  for (std::size_t at = 0; at < count; at += 16) {
    for (std::size_t i = 0; i < 16; i++) {
      if (at + i < count) key_words(type, rows[at + i], head_dim, pairs, scratch + i * stride, stride);
      else __builtin_memset(scratch + i * stride, 0, stride);
    }
    turn_rows(scratch, stride, words, tile + at / 16 * words * 64);
  }
  const std::size_t panels = (count + 15) / 16;
  if (panels % 2 != 0) __builtin_memset(tile + panels * words * 64, 0, words * 64);
}

/** 16 channels of one entry in f32, zeros beyond head_dim. */
KVSIFT_INLINE void channels(DType type, const std::byte* row, std::size_t first, std::size_t head_dim, float* out) {
  if (first + 16 <= head_dim) {
    for (std::size_t lane = 0; lane < 16; lane += lanes) store(out + lane, load_element(type, row, first + lane));
    return;
  }
  for (std::size_t lane = 0; lane < 16; lane++) out[lane] = first + lane < head_dim ? element_at(type, row, first + lane) : 0.0F;
}

#if defined(__AVX512BF16__)
/** Puts 16 numbers and the 16 behind them side by side. */
KVSIFT_INLINE __m512i paired(__m512i x) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, x);
}

/** 16 channels of two entries as pairs. */
KVSIFT_INLINE I pair_channels(DType type, const std::byte* even, const std::byte* odd, std::size_t first) {
  if (type == DType::bf16) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(even + 2 * first));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(odd + 2 * first));
    return reinterpret_cast<I>(paired(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)));
  }
  const __m512bh both = _mm512_cvtne2ps_pbh(load_element(type, odd, first), load_element(type, even, first));
  return reinterpret_cast<I>(paired(reinterpret_cast<__m512i>(both)));
}
#endif

#if defined(__AVX512BF16__)
/** Up to 32 rows of up to 16 columns less their centre, as pairs; what is missing is 0. */
template <bool Whole>
KVSIFT_INLINE void centre_pairs(const CentredRows& from, std::size_t row, std::size_t column, __mmask16 there, float* sums, __m512i (&words)[16]) {
  const float* x = from.x + row * from.stride + column;
  const __m512 centre = _mm512_maskz_loadu_ps(there, from.centre + column);
  const auto less = [&](std::size_t i) __attribute__((always_inline)) {
    if (!Whole && row + i >= from.rows) return _mm512_setzero_ps();
    return _mm512_sub_ps(_mm512_maskz_loadu_ps(there, x + i * from.stride), centre);
  };
  __m512 sum[2] = {_mm512_maskz_loadu_ps(there, sums + column), _mm512_setzero_ps()};
  KVSIFT_UNROLL for (std::size_t i = 0; i < 16; i++) {
    const __m512 even = less(2 * i);
    const __m512 odd = less(2 * i + 1);
    sum[0] += even;
    sum[1] += odd;
    words[i] = paired(reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even)));
  }
  _mm512_mask_storeu_ps(sums + column, there, sum[0] + sum[1]);
}

KVSIFT_INLINE void pack_centred(const CentredRows& from, float* sums, std::byte* panels, std::byte* turned) {
  const std::size_t row_bytes = (from.rows + 31) / 32 * 64;
  const std::size_t panel_bytes = row_bytes * 16;
  for (std::size_t row = 0; row < from.rows; row += 32) {
    std::size_t at = row * 32;  // of the panel's pairs
    for (std::size_t head = 0; head < from.heads; head++) {
      for (std::size_t first = 0; first < from.dim; first += 16, at += panel_bytes) {
        const std::size_t width = least(16, from.dim - first);
        const auto there = static_cast<__mmask16>((1U << width) - 1);
        __m512i words[16];
        if (row + 32 <= from.rows) centre_pairs<true>(from, row, head * from.dim + first, there, sums, words);
        else centre_pairs<false>(from, row, head * from.dim + first, there, sums, words);
        KVSIFT_UNROLL for (std::size_t i = 0; i < 16; i++) _mm512_storeu_si512(panels + at + i * 64, words[i]);
        turn(words);
        std::byte* to = turned + at - row * 32 + row * 2;
        KVSIFT_UNROLL for (std::size_t i = 0; i < 16; i++) _mm512_storeu_si512(to + i * row_bytes, words[i]);
      }
    }
  }
}
#endif

KVSIFT_INLINE void pack_values(DType type, const std::byte* const* rows, std::size_t count, std::size_t entries, std::size_t head_dim, bool pairs, std::byte* tile) {
  const std::size_t panels = (head_dim + 15) / 16;
  const std::size_t panel_bytes = entries * (pairs ? 32 : 64);
  for (std::size_t entry = 0; entry < entries; entry += pairs ? 2 : 1) {
    for (std::size_t panel = 0; panel < panels; panel++) {
      std::byte* out = tile + panel * panel_bytes + entry * (pairs ? 32 : 64);
#if defined(__AVX512BF16__)
      if (pairs && entry + 1 < count && panel * 16 + 16 <= head_dim) {
        store_bits(out, pair_channels(type, rows[entry], rows[entry + 1], panel * 16));
        continue;
      }
#endif
      float even[16] = {};
      if (!pairs) {
        if (entry < count) channels(type, rows[entry], panel * 16, head_dim, reinterpret_cast<float*>(out));
        else __builtin_memset(out, 0, 64);
        continue;
      }
      float odd[16] = {};
      if (entry < count) channels(type, rows[entry], panel * 16, head_dim, even);
      if (entry + 1 < count) channels(type, rows[entry + 1], panel * 16, head_dim, odd);
      for (std::size_t lane = 0; lane < 16; lane += lanes) {
        store_bits(out + lane * 4, (bf16_bits(load(even + lane)) & 0xffff) | (bf16_bits(load(odd + lane)) << 16));
      }
    }
  }
}

}  // namespace kvsift::KVSIFT_NS

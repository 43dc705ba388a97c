#pragma once

// Scores of a tile become weights. Part of attention.cpp, compiled with it once per instruction set.

#include "across.h"
#include "attention_columns.h"

namespace kvsift::KVSIFT_NS {

namespace {

/** Each of 16 vectors joined to one number: their sums, or the largest of each. */
template <bool Maximum = false>
KVSIFT_INLINE void join_16(const float* vectors, float* out) {
#if defined(__AVX512F__)
  F x[16];
  KVSIFT_UNROLL for (int i = 0; i < 16; i++) x[i] = load(vectors + i * 16);
  store(out, across_16<Maximum>(x));
#elif defined(__AVX2__)
  const auto join = [](F a, F b) __attribute__((always_inline)) { return Maximum ? max_of(a, b) : a + b; };
  KVSIFT_UNROLL for (int half = 0; half < 16; half += 8) {
    F level[8];
    KVSIFT_UNROLL for (int i = 0; i < 8; i++) level[i] = load(vectors + (half + i) * 8);
    KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
      level[i] = join(_mm256_unpacklo_ps(level[2 * i], level[2 * i + 1]), _mm256_unpackhi_ps(level[2 * i], level[2 * i + 1]));
    }
    KVSIFT_UNROLL for (int i = 0; i < 2; i++) {
      const __m256d a = _mm256_castps_pd(level[2 * i]);
      const __m256d b = _mm256_castps_pd(level[2 * i + 1]);
      level[i] = join(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    store(out + half, join(_mm256_permute2f128_ps(level[0], level[1], 0x20), _mm256_permute2f128_ps(level[0], level[1], 0x31)));
  }
#else
  for (int i = 0; i < 16; i++) out[i] = Maximum ? max_in(load(vectors + i * lanes)) : sum_of(load(vectors + i * lanes));
#endif
}

/** Hides what a row does not see; the largest of the rest lane by lane. What is no number counts for nothing here, and becomes a weight that is none. */
KVSIFT_INLINE F tops_of(const ScoreTile& tile, std::size_t row, Seen seen) {
  float* scores = tile.scores + row * tile.stride;
  if (seen.first > 0 || seen.last < tile.width) hide_rest(tile, seen, scores);
  F tops[2] = {splat(nothing), splat(nothing)};
  for (std::size_t c = 0; c < tile.width; c += 2 * lanes) {
    tops[0] = max_of(load(scores + c), tops[0]);
    tops[1] = max_of(load(scores + c + lanes), tops[1]);
  }
  return max_of(tops[0], tops[1]);
}

/** Scores become weights; returns their sums, lane by lane. */
KVSIFT_INLINE F weigh(float* scores, std::uint16_t* halves, std::size_t width, float top) {
  F sums[2] = {splat(0.0F), splat(0.0F)};
  for (std::size_t c = 0; c < width; c += 2 * lanes) {
    const F a = halves != nullptr ? exp2_of<true>(load(scores + c) - top) : exp2_of(load(scores + c) - top);
    const F b = halves != nullptr ? exp2_of<true>(load(scores + c + lanes) - top) : exp2_of(load(scores + c + lanes) - top);
    sums[0] += a;
    sums[1] += b;
    if (halves != nullptr) {
      store_rounded(halves + c, a, b);
    } else {
      store(scores + c, a);
      store(scores + c + lanes, b);
    }
  }
  return sums[0] + sums[1];
}

/** 16 rows at a time: what is to be joined within a row is joined for all of them at once. */
void softmax(const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* halves) {
  constexpr std::size_t some = 16;
  alignas(64) float partial[some * lanes];
  alignas(64) float here[some];
  alignas(64) float top[some];
  alignas(64) float factor[some];
  for (std::size_t first = 0; first < tile.rows; first += some) {
    const std::size_t count = least(some, tile.rows - first);
    bool sees[some] = {};
    for (std::size_t i = 0; i < some; i++) {
      const Seen seen = i < count ? seen_by(tile, first + i) : Seen{0, 0};
      sees[i] = seen.first < seen.last;
      store(partial + i * lanes, sees[i] ? tops_of(tile, first + i, seen) : splat(nothing));
      top[i] = i < count ? state.top[first + i] : nothing;
    }
    join_16<true>(partial, here);
    bool moved = false;
    for (std::size_t i = 0; i < some; i += lanes) {
      const F before = load(top + i);
      const F now = max_of(before, load(here + i));
      store(factor + i, before == now ? splat(1.0F) : exp2_of(before - now));
      store(top + i, now);
      moved = moved || sum_of(before == now) != -lanes;
    }
    for (std::size_t i = 0; i < some; i++) {
      F sum = splat(0.0F);
      if (i < count) {
        float* scores = tile.scores + (first + i) * tile.stride;
        std::uint16_t* weights = halves != nullptr ? halves + (first + i) * tile.stride : nullptr;
        if (sees[i]) sum = weights != nullptr ? weigh(scores, weights, tile.width, top[i]) : weigh(scores, nullptr, tile.width, top[i]);
        else if (weights != nullptr) __builtin_memset(weights, 0, tile.width * sizeof *weights);
        else __builtin_memset(scores, 0, tile.width * sizeof *scores);
      }
      store(partial + i * lanes, sum);
    }
    join_16(partial, here);
    for (std::size_t i = 0; i < count; i++) {
      const std::size_t row = first + i;
      state.top[row] = top[i];
      state.sum[row] = state.sum[row] * factor[i] + here[i];
    }
    if (!moved) continue;
    for (std::size_t i = 0; i < count; i++) {
      const std::size_t row = first + i;
      if (state.out == nullptr || factor[i] == 1.0F) continue;
      float* out = state.out + row * state.head_dim;
      std::size_t c = 0;
      for (; c + lanes <= state.head_dim; c += lanes) store(out + c, load(out + c) * factor[i]);
      for (; c < state.head_dim; c++) out[c] *= factor[i];
    }
  }
}

#if defined(__AVX512BF16__) && defined(__AVX512VBMI__)

/** 1 + f − 2^f in steps, for the first six of the seven bits of f: what the bits of a logit are above those of its weight. */
constexpr std::uint8_t bits_above[64] = {0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 5, 6, 6, 7, 7, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 10, 9, 9, 9, 8, 8, 8, 7, 7, 6, 6, 5, 5, 4, 3, 3, 2, 1, 1};

/** Bits of 1 in steps. */
constexpr float one_in_steps = 127 * score_steps;
/** Weights up to 2^65: sums of any number of them, and of their products with values, are finite. */
constexpr std::uint16_t most_steps = (127 + 65) * 128;

/**
 * Scores of 32 entries become weights, in the manner of Schraudolph ("A Fast, Compact Approximation of the Exponential Function", 1999): the integer
 * s + 127 · 128 read as bf16 is 2^⌊s / 128⌋ (1 + f), and a table takes it to 2^⌊s / 128⌋ 2^f. Off by 0.7 % at most and 0.23 % in the mean square, where
 * rounding 2^x to bf16 is by 0.4 and 0.16. Returns `sums` with them, lane by lane.
 */
KVSIFT_INLINE F add_weights(F sums, const float* scores, std::uint16_t* halves, float zero, __m512i table, __mmask32 seen, __m512i& most) {
  constexpr __mmask64 low_bytes = 0x5555555555555555;
  const __m512i a = _mm512_cvtps_epi32(load(scores) - zero);
  const __m512i b = _mm512_cvtps_epi32(load(scores + lanes) - zero);
  // What is below 0 is 0. Packing goes by quarters of a vector.
  const __m512i packed = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi32(a, b));
  const __m512i steps = _mm512_maskz_mov_epi16(seen, packed);
  most = _mm512_max_epu16(most, steps);
  const __m512i above = _mm512_maskz_permutexvar_epi8(low_bytes, _mm512_srli_epi16(steps, 1), table);
  const __m512i weights = _mm512_sub_epi16(steps, above);
  store_bits(halves, reinterpret_cast<I>(weights));
  return _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(weights), reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80)));
}

KVSIFT_INLINE bool too_far(__m512i most) { return _mm512_cmpgt_epu16_mask(most, _mm512_set1_epi16(static_cast<short>(most_steps))) != 0; }

/** Some rows of a tile. */
KVSIFT_INLINE ScoreTile rows_of(const ScoreTile& tile, std::size_t first, std::size_t count) {
  return {tile.scores + first * tile.stride, tile.stride, count, tile.width, tile.start, tile.count, tile.first + first, tile.last + first};
}

/** 16 rows at a time, as `softmax`. */
void softmax_in_steps(const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* halves) {
  constexpr std::size_t some = 16;
  alignas(64) float partial[some * lanes];
  alignas(64) float here[some];
  const __m512i table = _mm512_loadu_si512(bits_above);
  for (std::size_t first = 0; first < tile.rows; first += some) {
    const std::size_t count = least(some, tile.rows - first);
    const ScoreTile part = rows_of(tile, first, count);
    float* top = state.top + first;
    __m512i most = _mm512_setzero_si512();
    for (std::size_t i = 0; i < some; i++) {
      F sum = splat(0.0F);
      const Seen seen = i < count ? seen_by(part, i) : Seen{0, 0};
      if (seen.first < seen.last) {
        if (top[i] == nothing) top[i] = max_in(tops_of(part, i, seen)) / score_steps;
        else if (seen.first > 0 || seen.last < part.width) hide_rest(part, seen, part.scores + i * part.stride);
        for (std::size_t c = 0; c < tile.width; c += 2 * lanes) {
          sum = add_weights(sum, part.scores + i * part.stride + c, halves + (first + i) * tile.stride + c, top[i] * score_steps - one_in_steps, table,
                            ~__mmask32{0}, most);
        }
      } else if (i < count) {
        __builtin_memset(halves + (first + i) * tile.stride, 0, tile.width * sizeof *halves);
      }
      store(partial + i * lanes, sum);
    }
    if (too_far(most)) {
      for (std::size_t i = 0; i < count; i++) {
        float* scores = part.scores + i * part.stride;
        for (std::size_t c = 0; c < part.width; c += lanes) store(scores + c, load(scores + c) * (1 / score_steps));
      }
      softmax(part, {top, state.sum + first, state.out != nullptr ? state.out + first * state.head_dim : nullptr, state.head_dim}, halves + first * tile.stride);
      continue;
    }
    join_16(partial, here);
    for (std::size_t i = 0; i < count; i++) state.sum[first + i] += here[i];
  }
}

float largest(const std::uint16_t* x, std::size_t count) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i most = _mm512_setzero_si512();
  for (std::size_t i = 0; i < count; i += 2 * lanes) {
    const __mmask32 there = count - i >= 2 * lanes ? ~__mmask32{0} : (__mmask32{1} << (count - i)) - 1;
    most = _mm512_max_epu16(most, _mm512_and_si512(_mm512_maskz_loadu_epi16(there, x + i), magnitude));
  }
  const __m512i words = _mm512_max_epu32(_mm512_srli_epi32(most, 16), _mm512_and_si512(most, _mm512_set1_epi32(0xffff)));
  return __builtin_bit_cast(float, _mm512_reduce_max_epu32(words) << 16);
}

#endif

}  // namespace

}  // namespace kvsift::KVSIFT_NS

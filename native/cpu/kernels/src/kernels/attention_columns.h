#pragma once

// What a tile of scores gives to each key. Part of attention.cpp, compiled with it once per instruction set.

#include "attention_packing.h"

namespace kvsift::KVSIFT_NS {

namespace {

constexpr float nothing = -1e30F;

/** Columns of the tile that a row sees. */
struct Seen {
  std::size_t first;
  std::size_t last;
};

KVSIFT_INLINE Seen seen_by(const ScoreTile& tile, std::size_t row) {
  const auto start = static_cast<std::int64_t>(tile.start);
  const std::int64_t first = tile.first[row] - start;
  const std::int64_t last = tile.last[row] - start;
  const auto count = static_cast<std::int64_t>(tile.count);
  return {static_cast<std::size_t>(first < 0 ? 0 : first > count ? count : first), static_cast<std::size_t>(last < 0 ? 0 : last > count ? count : last)};
}

KVSIFT_INLINE void hide_rest(const ScoreTile& tile, Seen seen, float* scores) {
  for (std::size_t c = 0; c < seen.first; c++) scores[c] = nothing;
  for (std::size_t c = seen.last; c < tile.width; c++) scores[c] = nothing;
}

template <bool Maximum, bool Coarse>
KVSIFT_INLINE void reduce_columns(const ScoreTile& tile, const float* lse, std::size_t group, float* columns) {
  for (std::size_t head = 0; head < group; head++) {
    for (std::size_t c = 0; c < tile.width; c += 2 * lanes) {
      float* out = columns + head * tile.stride + c;
      F a = load(out);
      F b = load(out + lanes);
      for (std::size_t row = head; row < tile.rows; row += group) {
        const float* scores = tile.scores + row * tile.stride + c;
        const F shift = splat(lse[row]);
        const F x = exp2_of<Coarse>(load(scores) - shift);
        const F y = exp2_of<Coarse>(load(scores + lanes) - shift);
        a = Maximum ? max_of(a, x) : a + x;
        b = Maximum ? max_of(b, y) : b + y;
      }
      store(out, a);
      store(out + lanes, b);
    }
  }
}

void columns(const ScoreTile& tile, const float* lse, std::size_t group, bool maximum, bool coarse, float* columns) {
  for (std::size_t row = 0; row < tile.rows; row++) {
    const Seen seen = seen_by(tile, row);
    if (seen.first > 0 || seen.last < tile.width) hide_rest(tile, seen.first < seen.last ? seen : Seen{tile.width, tile.width}, tile.scores + row * tile.stride);
  }
  if (maximum) {
    if (coarse) reduce_columns<true, true>(tile, lse, group, columns);
    else reduce_columns<true, false>(tile, lse, group, columns);
  } else {
    if (coarse) reduce_columns<false, true>(tile, lse, group, columns);
    else reduce_columns<false, false>(tile, lse, group, columns);
  }
}

#if defined(__AVX512BF16__)

/** Adds every `step`th row of bf16, two at a time, to `Blocks` · 32 columns. `factors`: of a row and of the one a step behind it, bf16 side by side. */
template <int Blocks>
KVSIFT_INLINE void add_weighed(const std::uint16_t* weights, std::size_t stride, const std::uint32_t* factors, std::size_t rows, std::size_t step, float* out) {
  F low[Blocks];
  F high[Blocks];
  KVSIFT_UNROLL for (int b = 0; b < Blocks; b++) low[b] = high[b] = splat(0.0F);
  for (std::size_t row = 0; row < rows; row += 2 * step) {
    const auto factor = reinterpret_cast<__m512bh>(splat(static_cast<std::int32_t>(factors[row])));
    const std::uint16_t* one = weights + row * stride;
    // The last row has no partner; the factor there is 0.
    const std::uint16_t* other = row + step < rows ? one + step * stride : one;
    KVSIFT_UNROLL for (int b = 0; b < Blocks; b++) {
      const auto x = reinterpret_cast<__m512i>(load_bits(one + static_cast<std::size_t>(b) * 32));
      const auto y = reinterpret_cast<__m512i>(load_bits(other + static_cast<std::size_t>(b) * 32));
      low[b] = _mm512_dpbf16_ps(low[b], reinterpret_cast<__m512bh>(_mm512_unpacklo_epi16(x, y)), factor);
      high[b] = _mm512_dpbf16_ps(high[b], reinterpret_cast<__m512bh>(_mm512_unpackhi_epi16(x, y)), factor);
    }
  }
  // Unpacking went by quarters of a vector: four columns of each come in turn.
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  KVSIFT_UNROLL for (int b = 0; b < Blocks; b++) {
    float* to = out + static_cast<std::size_t>(b) * 32;
    store(to, load(to) + _mm512_permutex2var_ps(low[b], first, high[b]));
    store(to + 16, load(to + 16) + _mm512_permutex2var_ps(low[b], second, high[b]));
  }
}

void weigh_columns(const std::uint16_t* weights, std::size_t stride, std::size_t rows, const float* top, const float* lse, std::size_t group, std::size_t width,
                   float* columns) {
  constexpr std::size_t block = 32;
  constexpr std::size_t most = 512;
  alignas(64) float shares[most];
  alignas(64) std::uint16_t halves[most + 2 * lanes];
  alignas(64) std::uint32_t factors[most];
  const auto words = [](const std::uint16_t* from) __attribute__((always_inline)) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  };
  const std::size_t step = group < most ? most / group * group : 1;
  for (std::size_t first = 0; first < rows; first += step) {
    const std::size_t count = least(step, rows - first);
    for (std::size_t i = 0; i < count; i++) shares[i] = top[first + i] - lse[first + i];
    for (std::size_t i = 0; i < count; i += lanes) store_rounded(halves + i, exp2_of(load(shares + i)));
    __builtin_memset(halves + count, 0, 2 * lanes * sizeof *halves);
    for (std::size_t i = 0; i < count; i += lanes) {
      __m512i pair = words(halves + i);
      if (i + group < count) pair = _mm512_or_si512(pair, _mm512_slli_epi32(words(halves + i + group), 16));
      _mm512_store_si512(factors + i, pair);
    }
    for (std::size_t head = 0; head < least(group, count); head++) {
      const std::uint16_t* from = weights + (first + head) * stride;
      float* out = columns + (first + head) % group * stride;
      std::size_t c = 0;
      for (; c + 3 * block <= width; c += 3 * block) add_weighed<3>(from + c, stride, factors + head, count - head, group, out + c);
      for (; c < width; c += block) add_weighed<1>(from + c, stride, factors + head, count - head, group, out + c);
    }
  }
}

#endif

/** Sums in units of 2⁻³²: added in any order they come to the same. */
void add_exactly(const float* x, std::size_t count, std::int64_t* sums) {
  for (std::size_t i = 0; i < count; i++) sums[i] += static_cast<std::int64_t>(static_cast<double>(x[i]) * 4294967296.0);
}

void probabilities(const float* x, std::size_t count, float lse, float* out) {
  std::size_t c = 0;
  for (; c + lanes <= count; c += lanes) store(out + c, exp2_of(load(x + c) - lse));
  for (; c < count; c++) {
    const F p = exp2_of(splat(x[c] - lse));
    out[c] = p[0];
  }
}

}  // namespace

}  // namespace kvsift::KVSIFT_NS

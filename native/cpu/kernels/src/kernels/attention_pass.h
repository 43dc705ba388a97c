#pragma once

// Attention of 16 query rows to one tile of entries, sums and weights never further than the first-level cache. Part of attention.cpp, compiled with it where
// the instruction set has tile registers.

#include "attention_softmax.h"
#include "tiles.h"

#if defined(__AMX_BF16__)

namespace kvsift::KVSIFT_NS {

namespace {

constexpr std::size_t pass_block = 32;  // entries

/** A step of five that score a block into [16][32]. */
template <int Step>
KVSIFT_INLINE void score_step(const AttentionPass& pass, std::size_t block, float* scores) {
  constexpr std::size_t panel = pass_dim / 2 * 64;
  const std::byte* keys = pass.keys + block * 2 * panel + (Step >= 2 ? 1024 : 0);
  if constexpr (Step == 0) {
    _tile_zero(4);
    _tile_zero(5);
  }
  if constexpr (Step == 0 || Step == 2) {
    _tile_loadd(6, reinterpret_cast<const std::byte*>(pass.queries) + Step * 32, 2 * pass_dim);
    _tile_loadd(7, keys, 64);
    _tile_dpbf16ps(4, 6, 7);
  } else if constexpr (Step == 1 || Step == 3) {
    _tile_loadd(7, keys + panel, 64);
    _tile_dpbf16ps(5, 6, 7);
  } else {
    _tile_stored(4, scores, pass_block * 4);
    _tile_stored(5, scores + pass_tile, pass_block * 4);
  }
}

KVSIFT_INLINE void score_block(const AttentionPass& pass, std::size_t block, float* scores) {
  score_step<0>(pass, block, scores);
  score_step<1>(pass, block, scores);
  score_step<2>(pass, block, scores);
  score_step<3>(pass, block, scores);
  score_step<4>(pass, block, scores);
}

/** A step of four that add weights of a block times its values to tiles 0 to 3. (GCC's tile operations want literal numbers.) */
template <int Step>
KVSIFT_INLINE void value_step(const AttentionPass& pass, std::size_t block) {
  if constexpr (Step == 0) _tile_loadd(6, pass.weights + block * pass_block, pass.weight_stride * 2);
  _tile_loadd(7, pass.values + block * 1024 + Step * pass.value_stride, 64);
  if constexpr (Step == 0) _tile_dpbf16ps(0, 6, 7);
  else if constexpr (Step == 1) _tile_dpbf16ps(1, 6, 7);
  else if constexpr (Step == 2) _tile_dpbf16ps(2, 6, 7);
  else _tile_dpbf16ps(3, 6, 7);
}

KVSIFT_INLINE void add_values(const AttentionPass& pass, std::size_t block) {
  value_step<0>(pass, block);
  value_step<1>(pass, block);
  value_step<2>(pass, block);
  value_step<3>(pass, block);
}

/** Sums of weights times values, in tiles 0 to 3. */
KVSIFT_INLINE void load_sums_of(const float* out) {
  constexpr std::size_t bytes = pass_dim * sizeof(float);
  _tile_loadd(0, out, bytes);
  _tile_loadd(1, out + 16, bytes);
  _tile_loadd(2, out + 32, bytes);
  _tile_loadd(3, out + 48, bytes);
}

KVSIFT_INLINE void store_sums_of(float* out) {
  constexpr std::size_t bytes = pass_dim * sizeof(float);
  _tile_stored(0, out, bytes);
  _tile_stored(1, out + 16, bytes);
  _tile_stored(2, out + 32, bytes);
  _tile_stored(3, out + 48, bytes);
}

/** Entries of a block that the rows see, one bit each. */
KVSIFT_INLINE __m512i seen_in(const AttentionPass& pass, std::size_t block) {
  const __m512i at = _mm512_set1_epi32(static_cast<std::int32_t>(pass.start + block * pass_block));
  const auto bits_below = [&](const std::int32_t* slots) __attribute__((always_inline)) {
    const __m512i count = _mm512_max_epi32(_mm512_sub_epi32(_mm512_loadu_si512(slots), at), _mm512_setzero_si512());
    return _mm512_sub_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), count), _mm512_set1_epi32(1));
  };
  return _mm512_andnot_si512(bits_below(pass.first), bits_below(pass.last));
}

/** The largest logit among the first block's for rows that have no top; false where one of them sees only what is behind the block. */
KVSIFT_INLINE bool find_tops(const AttentionPass& pass, const float* scores) {
  alignas(64) std::uint32_t seen[pass_tile];
  F largest_of[pass_tile];
  const __m512i bits = seen_in(pass, 0);
  _mm512_store_si512(seen, bits);
  const F before = load(pass.top);
  const __mmask16 fresh = _mm512_cmp_ps_mask(before, splat(nothing), _CMP_EQ_OQ);
  if ((fresh & _mm512_testn_epi32_mask(bits, bits) & _mm512_cmplt_epi32_mask(_mm512_loadu_si512(pass.first), _mm512_loadu_si512(pass.last))) != 0) return false;
  KVSIFT_UNROLL for (std::size_t row = 0; row < pass_tile; row++) {
    const float* own = scores + row * pass_block;
    const F low = _mm512_mask_mov_ps(splat(nothing), static_cast<__mmask16>(seen[row]), load(own));
    largest_of[row] = _mm512_mask_max_ps(low, static_cast<__mmask16>(seen[row] >> lanes), low, load(own + lanes));
  }
  store(pass.top, _mm512_mask_mul_ps(before, fresh, across_16<true>(largest_of), splat(1 / score_steps)));
  return true;
}

/** What the rows of a pass see of its entries. */
enum class Sight : std::uint8_t { first, part, whole };

/** While a block's weights are computed, the tiles score the next and add the values of the one before. */
template <Sight Seen>
bool run_pass(const AttentionPass& pass) {
  alignas(64) float scores[2][pass_tile * pass_block];
  const __m512i table = _mm512_loadu_si512(bits_above);
  alignas(64) float zeros[pass_tile];
  alignas(64) std::uint32_t seen[pass_tile];
  const std::size_t blocks = pass.width / pass_block;

  settle();
  load_sums_of(pass.out);
  score_block(pass, 0, scores[0]);
  settle();
  if (Seen == Sight::first && !find_tops(pass, scores[0])) return false;
  store(zeros, load(pass.top) * score_steps - one_in_steps);
  F sums[pass_tile];
  KVSIFT_UNROLL for (std::size_t row = 0; row < pass_tile; row++) sums[row] = splat(0.0F);
  __m512i most = _mm512_setzero_si512();
  for (std::size_t block = 0; block < blocks; block++) {
    if (block + 1 < blocks) score_block(pass, block + 1, scores[(block + 1) % 2]);
    if (block > 0) add_values(pass, block - 1);
    settle();
    const float* own = scores[block % 2];
    std::uint16_t* weights = pass.weights + block * pass_block;
    if (Seen != Sight::whole) _mm512_store_si512(seen, seen_in(pass, block));
    KVSIFT_UNROLL for (std::size_t row = 0; row < pass_tile; row++) {
      const __mmask32 bits = Seen == Sight::whole ? ~__mmask32{0} : seen[row];
      sums[row] = add_weights(sums[row], own + row * pass_block, weights + row * pass.weight_stride, zeros[row], table, bits, most);
    }
    settle();
  }
  if (too_far(most)) return false;
  add_values(pass, blocks - 1);
  store_sums_of(pass.out);
  settle();
  store(pass.sum, load(pass.sum) + across_16(sums));
  return true;
}

/** The pass `index` passes behind. */
KVSIFT_INLINE AttentionPass behind(const AttentionPass& pass, std::size_t index) {
  AttentionPass other = pass;
  const std::size_t rows = index * pass_tile;
  other.queries += rows * pass_dim;
  other.first += rows;
  other.last += rows;
  other.top += rows;
  other.sum += rows;
  other.out += rows * pass_dim;
  other.weights += pass.turns ? index % 2 * pass_tile * pass.weight_stride : rows * pass.weight_stride;
  return other;
}

/** Passes whose rows see all of a tile of three blocks: scores are two blocks ahead of weights, products with values two behind, from pass to pass. */
std::uint64_t run_whole(const AttentionPass& tile, std::size_t passes) {
  constexpr std::size_t blocks = 3;
  alignas(64) float scores[blocks][pass_tile * pass_block];
  alignas(64) float zeros[pass_tile];
  const __m512i table = _mm512_loadu_si512(bits_above);
  std::uint64_t done = 0;
  settle();
  score_block(tile, 0, scores[0]);
  score_block(tile, 1, scores[1]);
  for (std::size_t index = 0; index < passes; index++) {
    const AttentionPass pass = behind(tile, index);
    const AttentionPass before = behind(tile, index > 0 ? index - 1 : 0);
    const AttentionPass after = behind(tile, index + 1 < passes ? index + 1 : index);
    store(zeros, load(pass.top) * score_steps - one_in_steps);
    F sums[pass_tile];
    KVSIFT_UNROLL for (std::size_t row = 0; row < pass_tile; row++) sums[row] = splat(0.0F);
    __m512i most = _mm512_setzero_si512();
    KVSIFT_UNROLL for (std::size_t block = 0; block < blocks; block++) {
      const bool scoring = block == 0 || index + 1 < passes;
      const AttentionPass& scored = block == 0 ? pass : after;
      const std::size_t ahead = (block + 2) % blocks;
      const bool adding = block == 2 || index > 0;
      const AttentionPass& added = block == 2 ? pass : before;
      const std::size_t late = (block + 1) % blocks;
      const auto weigh = [&]<std::size_t From>() __attribute__((always_inline)) {
        settle();
        KVSIFT_UNROLL for (std::size_t row = From; row < From + 2; row++) {
          sums[row] = add_weights(sums[row], scores[block] + row * pass_block, pass.weights + block * pass_block + row * pass.weight_stride, zeros[row], table,
                                  ~__mmask32{0}, most);
        }
        settle();
      };
      if (scoring) score_step<0>(scored, ahead, scores[ahead]);
      weigh.template operator()<0>();
      if (scoring) score_step<1>(scored, ahead, scores[ahead]);
      weigh.template operator()<2>();
      if (scoring) score_step<2>(scored, ahead, scores[ahead]);
      weigh.template operator()<4>();
      if (scoring) score_step<3>(scored, ahead, scores[ahead]);
      weigh.template operator()<6>();
      if (adding) value_step<0>(added, late);
      weigh.template operator()<8>();
      if (adding) value_step<1>(added, late);
      weigh.template operator()<10>();
      if (adding) value_step<2>(added, late);
      weigh.template operator()<12>();
      if (adding) value_step<3>(added, late);
      if (scoring) score_step<4>(scored, ahead, scores[ahead]);
      weigh.template operator()<14>();
      if (block == 1) {
        if (index > 0 && (done >> (index - 1) & 1) != 0) store_sums_of(before.out);
        load_sums_of(pass.out);
        settle();
      }
    }
    if (too_far(most)) continue;
    done |= std::uint64_t{1} << index;
    store(pass.sum, load(pass.sum) + across_16(sums));
  }
  const AttentionPass pass = behind(tile, passes - 1);
  add_values(pass, 1);
  add_values(pass, 2);
  if ((done >> (passes - 1) & 1) != 0) store_sums_of(pass.out);
  settle();
  return done;
}

KVSIFT_INLINE Sight sight_of(const AttentionPass& pass) {
  const __m512i first = _mm512_loadu_si512(pass.first);
  const __m512i last = _mm512_loadu_si512(pass.last);
  const __m512i start = _mm512_set1_epi32(static_cast<std::int32_t>(pass.start));
  const __m512i end = _mm512_set1_epi32(static_cast<std::int32_t>(pass.start + pass.width));
  const __mmask16 sees = _mm512_cmplt_epi32_mask(first, last) & _mm512_cmplt_epi32_mask(first, end) & _mm512_cmpgt_epi32_mask(last, start);
  const __mmask16 begun = _mm512_cmp_ps_mask(load(pass.top), splat(nothing), _CMP_NEQ_OQ);
  if ((sees & ~begun) != 0) return Sight::first;
  return (_mm512_cmple_epi32_mask(first, start) & _mm512_cmpge_epi32_mask(last, end)) == 0xffff ? Sight::whole : Sight::part;
}

bool attend_pass(const AttentionPass& pass) {
  switch (sight_of(pass)) {
    case Sight::first: return run_pass<Sight::first>(pass);
    case Sight::part: return run_pass<Sight::part>(pass);
    default: return run_pass<Sight::whole>(pass);
  }
}

std::uint64_t attend_whole(const AttentionPass& tile, std::size_t passes) {
  std::uint64_t done = 0;
  for (std::size_t index = 0; index < passes; index++) {
    std::size_t run = 0;
    while (index + run < passes && sight_of(behind(tile, index + run)) == Sight::whole) run++;
    if (run == 0) continue;
    done |= run_whole(behind(tile, index), run) << index;
    index += run;
  }
  return done;
}

}  // namespace

}  // namespace kvsift::KVSIFT_NS

#endif

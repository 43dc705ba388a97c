#pragma once

#include <climits>

#include "kernels/prefill.cuh"
#ifdef KVSIFT_EMULATED
#include "simt/warpgroup_emulated.h"
#else
#include "simt/warpgroup_device.h"
#endif

// Attention of many rows on Hopper (FlashAttention-3, Shah et al. 2024, algorithm 2 without its producer warp): a block has 128 query rows of a head, 64
// for each warpgroup, and tiles of 128 entries. While the weights of a tile are computed, the products of the tile before with its values run.
namespace kvsift::KVSIFT_TARGET {

constexpr int wide_rows = 128;
constexpr int wide_keys = 128;
constexpr int wide_threads = 256;

/** Dynamic shared memory: queries, two tiles of keys and two of values, and what it takes to begin at a multiple of 1024 bytes. */
template <int head_dim>
constexpr std::size_t wide_bytes = std::size_t{2} * head_dim * (wide_rows + 4 * wide_keys) + 1024;

/** Where 16-byte piece `piece` of a row lies in a tile of 128 rows: panels of 64 columns, the pieces of a row exchanged by its number. */
KVSIFT_BOTH int panel_at(int row, int piece) { return piece / 8 * 128 * 64 + row * 64 + ((piece % 8) ^ (row & 7)) * 8; }

KVSIFT_BOTH SlotRange join(SlotRange a, SlotRange b) { return {a.first < b.first ? a.first : b.first, a.end > b.end ? a.end : b.end}; }
KVSIFT_BOTH SlotRange meet(SlotRange a, SlotRange b) { return {a.first > b.first ? a.first : b.first, a.end < b.end ? a.end : b.end}; }

/** Starts the copy of 128 rows; those from `count` on become zeros. `from(row)` is the address of a row. */
template <class Element, int head_dim, class From>
__device__ __forceinline__ void load_panels(Element* tile, int count, From&& from) {
  constexpr int pieces = head_dim / 8;
  constexpr int step = wide_threads / pieces;  // rows: a multiple of 8, so that a thread's pieces lie alike in all of them
  const int first = static_cast<int>(threadIdx.x) / pieces;
  const int piece = static_cast<int>(threadIdx.x) % pieces;
  Element* to = tile + panel_at(first, piece);
#pragma unroll 2
  for (int row = first; row < 128; row += step, to += step * 64) {
    const bool valid = row < count;
    copy_async(to, from(valid ? row : 0) + piece * 8, valid);
  }
}

/** The same for 128 rows that are all there and `row_step` elements apart: little more than the copies. */
template <class Element, int head_dim>
__device__ __forceinline__ void load_whole_panels(Element* tile, const Element* from, std::size_t row_step) {
  constexpr int pieces = head_dim / 8;
  constexpr int step = wide_threads / pieces;
  const int first = static_cast<int>(threadIdx.x) / pieces;
  const int piece = static_cast<int>(threadIdx.x) % pieces;
  Element* to = tile + panel_at(first, piece);
  from += first * row_step + piece * 8;
#pragma unroll
  for (int row = 0; row < 128; row += step) copy_async(to + row * 64, from + row * row_step, true);
}

/** `mixes`: makes outputs; else the log-sum-exp alone. */
template <class Element, int head_dim, bool mixes>
__global__ void __launch_bounds__(wide_threads, 1) prefill_wide(const __grid_constant__ PrefillArguments a) {
#if defined(KVSIFT_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int chunks = head_dim / 8;
  const PrefillPiece& piece = a.pieces[blockIdx.z];
  const KvView& view = piece.view;
  const int tiles = (piece.sight.rows + wide_rows - 1) / wide_rows;
  if (static_cast<int>(blockIdx.x) >= tiles) return;
  // The last rows see the most: they start first.
  const int first_row = (tiles - 1 - static_cast<int>(blockIdx.x)) * wide_rows;
  const int rows = piece.sight.rows - first_row < wide_rows ? piece.sight.rows - first_row : wide_rows;
  const int query_head = static_cast<int>(blockIdx.y);
  const auto head = static_cast<unsigned>(query_head / a.group);
  const std::size_t row_step = static_cast<std::size_t>(a.query_heads) * head_dim;

  auto* bytes = dynamic_shared<unsigned char>();
  bytes += (1024 - reinterpret_cast<std::uintptr_t>(bytes) % 1024) % 1024;
  auto* queries = reinterpret_cast<Element*>(bytes);
  Element* keys = queries + wide_rows * head_dim;        // two tiles, in turn
  Element* values = keys + 2 * wide_keys * head_dim;     // likewise
  constexpr int tile = wide_keys * head_dim;
  __shared__ int firsts[wide_rows];
  __shared__ int ends[wide_rows];
  // By 32 rows: what any of them sees, and what all of them see.
  __shared__ SlotRange seen_by_any[wide_rows / 32];
  __shared__ SlotRange seen_by_all[wide_rows / 32];

  const std::size_t packed = static_cast<std::size_t>(piece.packed + first_row);
  const Element* own_queries = static_cast<const Element*>(a.q) + packed * row_step + static_cast<std::size_t>(query_head) * head_dim;
  load_panels<Element, head_dim>(queries, rows, [&](int row) { return own_queries + static_cast<std::size_t>(row) * row_step; });

  if (threadIdx.x < wide_rows) {
    const int row = static_cast<int>(threadIdx.x);
    const bool there = row < rows;
    const SlotRange range = there ? seen_by(piece.sight, view, head, view.lengths[head], first_row + row) : SlotRange{0, 0};
    firsts[row] = range.first;
    ends[row] = range.end;
    SlotRange any = there ? range : SlotRange{INT_MAX, 0};
    SlotRange all = there ? range : SlotRange{0, INT_MAX};
    for (unsigned step = 16; step > 0; step /= 2) {
      any = join(any, {shuffle_xor(any.first, step), shuffle_xor(any.end, step)});
      all = meet(all, {shuffle_xor(all.first, step), shuffle_xor(all.end, step)});
    }
    if (row % 32 == 0) {
      seen_by_any[row / 32] = any;
      seen_by_all[row / 32] = all;
    }
  }
  sync_block();
  const int group = static_cast<int>(threadIdx.x) / 128;
  const int group_row = group * 64;  // of this warpgroup
  const SlotRange any = join(join(seen_by_any[0], seen_by_any[1]), join(seen_by_any[2], seen_by_any[3]));
  const int begin = any.first / wide_keys * wide_keys;
  const int end = any.end;
  // Tiles between these are seen whole by all rows of the warpgroup.
  const SlotRange whole = meet(meet(seen_by_all[2 * group], seen_by_all[2 * group + 1]), {0, end});

  const std::int64_t start = view.table == nullptr ? view.starts[head] : 0;
  const auto load_entries = [&](Element* to, const void* source, int base) {
    const auto* from = static_cast<const Element*>(source);
    if (view.table != nullptr) [[unlikely]] {
      load_panels<Element, head_dim>(to, end - base, [&](int row) { return from + row_of(view, head, static_cast<unsigned>(base + row)) * head_dim; });
      return;
    }
    from += (start + base) * head_dim;
    if (end - base >= wide_keys) [[likely]] {
      load_whole_panels<Element, head_dim>(to, from, head_dim);
    } else {
      load_panels<Element, head_dim>(to, end - base, [&](int row) { return from + row * head_dim; });
    }
  };

  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int own_row = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;  // and the one 8 below
  const int own_first[2] = {firsts[own_row], firsts[own_row + 8]};
  const int own_end[2] = {ends[own_row], ends[own_row + 8]};
  const float factor = a.rule.factor;

  float mixed[chunks][4];
  float scores[16][4];
  std::uint32_t weights[8][4];
  float top[2] = {lowest, lowest};  // of the dots
  float sum[2] = {0, 0};
  float kept[2];
#pragma unroll
  for (int j = 0; j < chunks; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) mixed[j][i] = 0;
  }

  // Weights of the tile at `base` in place of its scores, for the new maximum; `kept` is what remains of everything before.
  const auto weigh = [&](int base) {
    if (base < whole.first || base + wide_keys > whole.end) {
#pragma unroll
      for (int j = 0; j < 16; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int slot = base + j * 8 + lane % 4 * 2 + i % 2;
          if (slot < own_first[i / 2] || slot >= own_end[i / 2]) scores[j][i] = lowest;
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float higher = top[half];
#pragma unroll
      for (int j = 0; j < 16; j++) higher = fmaxf(higher, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
      higher = fmaxf(higher, shuffle_xor(higher, 1));
      higher = fmaxf(higher, shuffle_xor(higher, 2));
      const float level = higher == lowest ? 0.0f : higher * factor;
      kept[half] = exp2_fast(top[half] * factor - level);
      top[half] = higher;
      float added = 0;
#pragma unroll
      for (int j = 0; j < 16; j++) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          scores[j][i] = exp2_fast(fmaf(scores[j][i], factor, -level));
          added += scores[j][i];
        }
      }
      sum[half] = sum[half] * kept[half] + added;
    }
  };
  const auto rescale = [&] {
    // The maximum seldom rises after the first tiles.
    if (all_lanes(kept[0] == 1.0f && kept[1] == 1.0f)) return;
#pragma unroll
    for (int j = 0; j < chunks; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) mixed[j][i] *= kept[i / 2];
    }
  };
  const auto pack = [&] {
#pragma unroll
    for (int k = 0; k < 8; k++) {
      weights[k][0] = pack2<Element>(scores[2 * k][0], scores[2 * k][1]);
      weights[k][1] = pack2<Element>(scores[2 * k][2], scores[2 * k][3]);
      weights[k][2] = pack2<Element>(scores[2 * k + 1][0], scores[2 * k + 1][1]);
      weights[k][3] = pack2<Element>(scores[2 * k + 1][2], scores[2 * k + 1][3]);
    }
  };
  // The copies for this turn have come, and all warps are through with the turn before: its tiles may go.
  const auto turn_begins = [&] {
    copy_wait<0>();
    publish_shared();
    sync_block();
  };

  const auto load_next = [&](int base, int turn) {
    if (base + wide_keys < end) load_entries(keys + (turn ^ 1) * tile, view.keys, base + wide_keys);
    if constexpr (mixes) load_entries(values + turn * tile, view.values, base);
    copy_commit();
  };
  // Starts the products of this turn's keys, and those of the weights with the values of the turn before.
  const auto multiply = [&](int turn) {
    begin_products();
    multiply_keys<Element, head_dim, wide_rows>(scores, queries + group_row * 64, keys + turn * tile);
    commit_products();
    if constexpr (mixes) {
      multiply_values<Element, head_dim>(mixed, weights, values + (turn ^ 1) * tile);
      commit_products();
    }
  };
  if (begin < end) {
    load_entries(keys, view.keys, begin);
    copy_commit();
    turn_begins();
    load_next(begin, 0);
    begin_products();
    multiply_keys<Element, head_dim, wide_rows>(scores, queries + group_row * 64, keys);
    commit_products();
    await_products<0>();
    results_are_there(scores);
    // The first warpgroup computes the weights of this turn's tile, while its products with the values before run; the second one computes those of the
    // tile before while the first one multiplies, and multiplies while the first one computes.
    const bool ahead = group == 0;
    if (ahead) {
      weigh(begin);
      pack();
    }
    int turn = 1;
    for (int base = begin + wide_keys; base < end; base += wide_keys, turn ^= 1) {
      turn_begins();
      if (ahead) {
        multiply(turn);
        load_next(base, turn);
        await_products<mixes ? 1 : 0>();
        results_are_there(scores);
        weigh(base);
        await_products<0>();
        results_are_there(mixed);
        rescale();
        pack();
      } else {
        load_next(base, turn);
        weigh(base - wide_keys);
        rescale();
        pack();
        multiply(turn);
        await_products<0>();
        results_are_there(scores);
        results_are_there(mixed);
      }
    }
    if (!ahead) {
      weigh((end - 1) / wide_keys * wide_keys);
      rescale();
      pack();
    }
    turn_begins();
    if constexpr (mixes) {
      begin_products();
      multiply_values<Element, head_dim>(mixed, weights, values + (turn ^ 1) * tile);
      commit_products();
      await_products<0>();
      results_are_there(mixed);
    }
  }

#pragma unroll
  for (int half = 0; half < 2; half++) {
    sum[half] += shuffle_xor(sum[half], 1);
    sum[half] += shuffle_xor(sum[half], 2);
    const int row = own_row + 8 * half;
    if (row >= rows) continue;
    const std::size_t to = (packed + row) * a.query_heads + query_head;
    if (lane % 4 == 0 && a.log_sum_exp != nullptr) a.log_sum_exp[to] = log_sum_of(top[half] == lowest ? lowest : top[half] * factor, sum[half]);
    if constexpr (!mixes) continue;
    const float share = top[half] == lowest ? 0.0f : 1 / sum[half];
#pragma unroll
    for (int j = 0; j < chunks; j++) {
      store8(a.out + to * head_dim + j * 8 + lane % 4 * 2, mixed[j][2 * half] * share, mixed[j][2 * half + 1] * share);
    }
  }
#else
  (void)a;
#endif
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/columns.cuh"
#include "kernels/prefill_wide.cuh"

// The second sweep of columns.cuh on Hopper: a block holds 128 keys of a query head, 64 for each warpgroup, and reads the query rows that see them 128 at
// a time. While one warpgroup multiplies, the other one sums up.
namespace kvsift::KVSIFT_TARGET {

/** What a tile of query rows sees and its log-sum-exps, in powers of two; rows that see nothing: +∞. */
struct WideRows {
  int firsts[wide_rows];
  int ends[wide_rows];
  float sums[wide_rows];
  bool whole[wide_rows / 32];  // by warp: its rows see all keys of the block
};

/** Dynamic shared memory: keys, two tiles of queries, and what it takes to begin at a multiple of 1024 bytes. */
template <int head_dim>
constexpr std::size_t wide_column_bytes = std::size_t{2} * head_dim * 3 * wide_rows + 1024;

template <class Element, int head_dim, bool maximum>
__global__ void __launch_bounds__(wide_threads, 2) column_wide(const __grid_constant__ ColumnWork a) {
#if defined(KVSIFT_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  const int base = static_cast<int>(blockIdx.x) * wide_keys;
  const int query_head = static_cast<int>(blockIdx.y);
  const auto head = static_cast<unsigned>(query_head / a.group);
  const int rows = a.sight.rows;
  const int n = a.view.lengths[head];  // a.n, or 0 where the head is not that long
  const std::size_t row_step = static_cast<std::size_t>(a.query_heads) * head_dim;

  auto* bytes = dynamic_shared<unsigned char>();
  bytes += (1024 - reinterpret_cast<std::uintptr_t>(bytes) % 1024) % 1024;
  auto* keys = reinterpret_cast<Element*>(bytes);
  Element* queries = keys + wide_keys * head_dim;
  constexpr int tile = wide_rows * head_dim;
  // Of this turn, the one before and the one after.
  __shared__ WideRows seen[3];

  const int first_row = first_row_that_sees(a.sight, n, base, wide_rows);

  const auto load_queries = [&](int row, int turn) {
    const auto* from = static_cast<const Element*>(a.q) + row * row_step + static_cast<std::size_t>(query_head) * head_dim;
    Element* to = queries + turn % 2 * tile;
    if (rows - row >= wide_rows) [[likely]] {
      load_whole_panels<Element, head_dim>(to, from, row_step);
    } else {
      load_panels<Element, head_dim>(to, rows - row, [&](int at) { return from + at * row_step; });
    }
    copy_commit();
  };
  const auto look_at_rows = [&](int row, WideRows& to) {
    if (threadIdx.x >= wide_rows) return;
    const int at = row + static_cast<int>(threadIdx.x);
    SlotRange range{0, 0};
    float sum = lowest;
    if (at < rows) {
      range = seen_by(a.sight, a.view, head, n, at);
      sum = a.log_sum_exp[static_cast<std::size_t>(at) * a.query_heads + query_head];
    }
    const bool sees = sum != lowest;
    to.firsts[threadIdx.x] = range.first;
    to.ends[threadIdx.x] = sees ? range.end : 0;
    to.sums[threadIdx.x] = sees ? sum * log2_e : -lowest;
    const bool whole = all_lanes(sees && range.first <= base && range.end >= base + wide_keys);
    if (threadIdx.x % 32 == 0) to.whole[threadIdx.x / 32] = whole;
  };

  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int own_key = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;  // and the one 8 below
  float scores[16][4];
  float reduced[2] = {0, 0};
  const auto reduce = [&](const WideRows& by) {
    if (!(by.whole[0] && by.whole[1] && by.whole[2] && by.whole[3])) {
#pragma unroll
      for (int j = 0; j < 16; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = j * 8 + lane % 4 * 2 + i % 2;
          const int slot = base + own_key + i / 2 * 8;
          if (slot < by.firsts[row] || slot >= by.ends[row]) scores[j][i] = lowest;
        }
      }
    }
#pragma unroll
    for (int j = 0; j < 16; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float weight = exp2_fast(fmaf(scores[j][i], a.rule.factor, -by.sums[j * 8 + lane % 4 * 2 + i % 2]));
        reduced[i / 2] = maximum ? fmaxf(reduced[i / 2], weight) : reduced[i / 2] + weight;
      }
    }
  };
  const auto multiply = [&](int turn) {
    begin_products();
    multiply_keys<Element, head_dim, wide_keys>(scores, keys + static_cast<int>(threadIdx.x) / 128 * 64 * 64, queries + turn % 2 * tile);
    commit_products();
    await_products<0>();
    results_are_there(scores);
  };

  if (base < n && first_row < rows) {
    const std::int64_t start = a.view.table == nullptr ? a.view.starts[head] : 0;
    load_panels<Element, head_dim>(keys, n - base, [&](int row) {
      const std::int64_t at = a.view.table == nullptr ? start + base + row : row_of(a.view, head, static_cast<unsigned>(base + row));
      return static_cast<const Element*>(a.view.keys) + at * head_dim;
    });
    load_queries(first_row, 0);
    look_at_rows(first_row, seen[0]);
    const bool ahead = threadIdx.x < 128;
    int turn = 0;
    for (int row = first_row; row < rows; row += wide_rows, turn++) {
      copy_wait<0>();
      publish_shared();
      sync_block();
      if (row + wide_rows < rows) {
        load_queries(row + wide_rows, turn + 1);
        look_at_rows(row + wide_rows, seen[(turn + 1) % 3]);
      }
      if (!ahead && turn > 0) reduce(seen[(turn - 1) % 3]);
      multiply(turn);
      if (ahead) reduce(seen[turn % 3]);
    }
    if (!ahead) reduce(seen[(turn - 1) % 3]);
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    for (unsigned step = 1; step < 4; step *= 2) {
      const float other = shuffle_xor(reduced[half], step);
      reduced[half] = maximum ? fmaxf(reduced[half], other) : reduced[half] + other;
    }
    const int key = base + own_key + 8 * half;
    if (lane % 4 == 0 && key < a.n) a.out[static_cast<std::size_t>(query_head) * a.n + key] = reduced[half];
  }
#else
  (void)a;
#endif
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/tile.cuh"

// Statistics of the probabilities of each key, in a second sweep from the log-sum-exp: one block holds 64 keys of a query head and reads the query
// rows that see them. No atomics, so the result does not depend on the order of blocks.
namespace kvsift::KVSIFT_TARGET {

struct ColumnWork {
  KvView view;
  Sight sight;
  int n;
  int group;
  int query_heads;
  bool maximum;
  LogitRule rule;
  const void* q;             // Element [rows, query_heads · head_dim]
  const float* log_sum_exp;  // [rows, query_heads]
  float* out;                // [query_heads, n]
};

/** One block a multiprocessor is enough: left to itself ptxas saves registers for a fifth one and spills (sm_90a, head dim 64). */
template <class Element, int head_dim>
__global__ void __launch_bounds__(tile_threads, 1) column_work(const __grid_constant__ ColumnWork a) {
  constexpr int steps = head_dim / 16;
  constexpr int stride = tile_stride<head_dim>;
  const int base = static_cast<int>(blockIdx.x) * tile_rows;
  const int query_head = static_cast<int>(blockIdx.y);
  const auto head = static_cast<unsigned>(query_head / a.group);
  const int rows = a.sight.rows;
  const int n = a.view.lengths[head];  // a.n, or 0 where the head is not that long
  const std::size_t row_step = static_cast<std::size_t>(a.query_heads) * head_dim;

  auto* keys = dynamic_shared<Element>();
  Element* queries = keys + tile_rows * stride;  // two tiles, in turn
  __shared__ int firsts[tile_rows];
  __shared__ int ends[tile_rows];
  __shared__ float sums[tile_rows];  // log-sum-exp in powers of two; rows that see nothing: +∞
  __shared__ float columns[tile_threads / 32][tile_rows];

  const int first_row = first_row_that_sees(a.sight, n, base, tile_rows);

  const auto load_queries = [&](int row, Element* to) {
    const int count = rows - row < tile_rows ? rows - row : tile_rows;
    load_row_tile<Element, head_dim>(to, static_cast<const Element*>(a.q) + row * row_step + static_cast<std::size_t>(query_head) * head_dim, row_step,
                                     count);
  };
  load_cache_tile<Element, head_dim>(keys, a.view.keys, a.view, head, base, n);
  if (first_row < rows) load_queries(first_row, queries);
  copy_commit();

  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float reduced[8][2];
#pragma unroll
  for (int j = 0; j < 8; j++) reduced[j][0] = reduced[j][1] = 0;

  int turn = 0;
  for (int row = first_row; row < rows; row += tile_rows, turn ^= 1) {
    if (row + tile_rows < rows) load_queries(row + tile_rows, queries + (turn ^ 1) * tile_rows * stride);
    copy_commit();
    if (threadIdx.x < tile_rows) {
      const int at = row + static_cast<int>(threadIdx.x);
      SlotRange range{0, 0};
      float sum = lowest;
      if (at < rows) {
        range = seen_by(a.sight, a.view, head, n, at);
        sum = a.log_sum_exp[static_cast<std::size_t>(at) * a.query_heads + query_head];
      }
      firsts[threadIdx.x] = range.first;
      ends[threadIdx.x] = sum == lowest ? 0 : range.end;
      sums[threadIdx.x] = sum * log2_e;
    }
    copy_wait<1>();
    sync_block();
    float scores[8][4];
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) scores[j][i] = 0;
    }
#pragma unroll
    for (int s = 0; s < steps; s++) {
      std::uint32_t query[4];
      load_rows<Element, head_dim>(query, queries + turn * tile_rows * stride, warp_row, 16 * s);
      query_key_step<Element, head_dim>(scores, query, keys, 16 * s);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = warp_row + lane / 4 + 8 * half;
      const int first = firsts[own];
      const int end = ends[own];
      const float sum = sums[own];
#pragma unroll
      for (int j = 0; j < 8; j++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int slot = base + j * 8 + lane % 4 * 2 + i;
          if (slot < first || slot >= end) continue;
          const float probability = exp2_fast(logit_of(a.rule, scores[j][2 * half + i]) - sum);
          reduced[j][i] = a.maximum ? fmaxf(reduced[j][i], probability) : reduced[j][i] + probability;
        }
      }
    }
    sync_block();
  }
  copy_wait<0>();

#pragma unroll
  for (int j = 0; j < 8; j++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float value = reduced[j][i];
#pragma unroll
      for (unsigned step = 4; step < 32; step *= 2) {
        const float other = shuffle_xor(value, step);
        value = a.maximum ? fmaxf(value, other) : value + other;
      }
      if (lane < 4) columns[threadIdx.x / 32][j * 8 + lane * 2 + i] = value;
    }
  }
  sync_block();
  const int slot = base + static_cast<int>(threadIdx.x);
  if (threadIdx.x < tile_rows && slot < a.n) {
    float value = columns[0][threadIdx.x];
#pragma unroll
    for (int warp = 1; warp < tile_threads / 32; warp++) {
      value = a.maximum ? fmaxf(value, columns[warp][threadIdx.x]) : value + columns[warp][threadIdx.x];
    }
    a.out[static_cast<std::size_t>(query_head) * a.n + slot] = value;
  }
}

}  // namespace kvsift::KVSIFT_TARGET

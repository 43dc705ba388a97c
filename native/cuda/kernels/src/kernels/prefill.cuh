#pragma once

#include "kernels/tile.cuh"

// Attention of many rows: FlashAttention-2 (Dao 2023, algorithm 1) with cp.async and mma, one block per 64 query rows and query head. While the
// scores of a tile are computed its values arrive; while its values are used the next keys arrive.
namespace kvsift::KVSIFT_TARGET {

constexpr int prefill_pieces = 16;

struct PrefillPiece {
  KvView view;
  Sight sight;
  int packed;  // packed row of the sequence's first row
};

struct PrefillArguments {
  PrefillPiece pieces[prefill_pieces];
  int group;
  int query_heads;
  LogitRule rule;
  const void* q;       // Element [rows, query_heads · head_dim]
  float* out;          // or null
  float* log_sum_exp;  // or null
  int splits;          // parts of the entries that blocks of their own take, without `out`; else 1
  std::size_t stride;  // of the log-sum-exps of the parts
};

template <class Element, int head_dim>
__global__ void __launch_bounds__(tile_threads) prefill_work(const __grid_constant__ PrefillArguments a) {
  constexpr int steps = head_dim / 16;
  constexpr bool queries_stay = head_dim <= 128;  // in registers
  constexpr int stride = tile_stride<head_dim>;
  const PrefillPiece& piece = a.pieces[blockIdx.z];
  const KvView& view = piece.view;
  const int tiles = (piece.sight.rows + tile_rows - 1) / tile_rows;
  const int own_tile = static_cast<int>(blockIdx.x) / a.splits;
  const int split = static_cast<int>(blockIdx.x) % a.splits;
  if (own_tile >= tiles) return;
  // The last rows see the most: they start first.
  const int first_row = (tiles - 1 - own_tile) * tile_rows;
  const int rows = piece.sight.rows - first_row < tile_rows ? piece.sight.rows - first_row : tile_rows;
  const int query_head = static_cast<int>(blockIdx.y);
  const auto head = static_cast<unsigned>(query_head / a.group);
  const std::size_t row_step = static_cast<std::size_t>(a.query_heads) * head_dim;

  auto* queries = dynamic_shared<Element>();
  Element* keys = queries + tile_rows * stride;
  Element* values = keys + tile_rows * stride;
  __shared__ int firsts[tile_rows];
  __shared__ int ends[tile_rows];

  const std::size_t packed = static_cast<std::size_t>(piece.packed + first_row);
  load_row_tile<Element, head_dim>(queries, static_cast<const Element*>(a.q) + packed * row_step + static_cast<std::size_t>(query_head) * head_dim,
                                   row_step, rows);
  copy_commit();
  if (threadIdx.x < tile_rows) {
    const int row = static_cast<int>(threadIdx.x);
    const SlotRange range = row < rows ? seen_by(piece.sight, view, head, view.lengths[head], first_row + row) : SlotRange{0, 0};
    firsts[row] = range.first;
    ends[row] = range.end;
  }
  sync_block();
  int lowest_first = firsts[0];
  int highest_first = firsts[0];
  int lowest_end = ends[0];
  int highest_end = ends[0];
  for (int row = 1; row < rows; row++) {
    lowest_first = firsts[row] < lowest_first ? firsts[row] : lowest_first;
    highest_first = firsts[row] > highest_first ? firsts[row] : highest_first;
    lowest_end = ends[row] < lowest_end ? ends[row] : lowest_end;
    highest_end = ends[row] > highest_end ? ends[row] : highest_end;
  }
  int begin = lowest_first / tile_rows * tile_rows;
  if (a.splits > 1) {
    const int part = ((highest_end - begin + a.splits - 1) / a.splits + tile_rows - 1) / tile_rows * tile_rows;
    begin += split * part;
    highest_end = highest_end < begin + part ? highest_end : begin + part;
  }

  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float mixed[2 * steps][4];
  float top[2] = {lowest, lowest};
  float sum[2] = {0, 0};
#pragma unroll
  for (int j = 0; j < 2 * steps; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) mixed[j][i] = 0;
  }
  const int own_first[2] = {firsts[warp_row + lane / 4], firsts[warp_row + lane / 4 + 8]};
  const int own_end[2] = {ends[warp_row + lane / 4], ends[warp_row + lane / 4 + 8]};

  if (begin < highest_end) load_cache_tile<Element, head_dim>(keys, view.keys, view, head, begin, highest_end);
  copy_commit();
  std::uint32_t kept_queries[queries_stay ? steps : 1][4];
  if constexpr (queries_stay) {
    copy_wait<1>();
    sync_block();
#pragma unroll
    for (int s = 0; s < steps; s++) load_rows<Element, head_dim>(kept_queries[s], queries, warp_row, 16 * s);
  }

  for (int base = begin; base < highest_end; base += tile_rows) {
    if (a.out != nullptr) load_cache_tile<Element, head_dim>(values, view.values, view, head, base, highest_end);
    copy_commit();
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
      if constexpr (queries_stay) {
        query_key_step<Element, head_dim>(scores, kept_queries[s], keys, 16 * s);
      } else {
        std::uint32_t query[4];
        load_rows<Element, head_dim>(query, queries, warp_row, 16 * s);
        query_key_step<Element, head_dim>(scores, query, keys, 16 * s);
      }
    }
    sync_block();
    if (base + tile_rows < highest_end) load_cache_tile<Element, head_dim>(keys, view.keys, view, head, base + tile_rows, highest_end);
    copy_commit();

    const bool whole = base >= highest_first && base + tile_rows <= lowest_end;
    float higher[2] = {top[0], top[1]};
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int slot = base + j * 8 + lane % 4 * 2 + i % 2;
        const bool seen = whole || (slot >= own_first[i / 2] && slot < own_end[i / 2]);
        scores[j][i] = seen ? logit_of(a.rule, scores[j][i]) : lowest;
        higher[i / 2] = fmaxf(higher[i / 2], scores[j][i]);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      higher[half] = fmaxf(higher[half], shuffle_xor(higher[half], 1));
      higher[half] = fmaxf(higher[half], shuffle_xor(higher[half], 2));
      const float kept = weight_of(top[half], higher[half]);
      top[half] = higher[half];
      sum[half] *= kept;
#pragma unroll
      for (int j = 0; j < 2 * steps; j++) {
        mixed[j][2 * half] *= kept;
        mixed[j][2 * half + 1] *= kept;
      }
    }
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        scores[j][i] = weight_of(scores[j][i], top[i / 2]);
        sum[i / 2] += scores[j][i];
      }
    }
    if (a.out == nullptr) continue;
    copy_wait<1>();
    sync_block();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const std::uint32_t weights[4] = {pack2<Element>(scores[2 * k][0], scores[2 * k][1]), pack2<Element>(scores[2 * k][2], scores[2 * k][3]),
                                        pack2<Element>(scores[2 * k + 1][0], scores[2 * k + 1][1]),
                                        pack2<Element>(scores[2 * k + 1][2], scores[2 * k + 1][3])};
#pragma unroll
      for (int s = 0; s < steps; s++) {
        std::uint32_t b[4];
        load_matrices<true>(b, values + tile_at<head_dim>(k * 16 + lane % 16, s * 16, lane / 16));
        multiply_accumulate<Element>(mixed[2 * s], weights, b[0], b[1]);
        multiply_accumulate<Element>(mixed[2 * s + 1], weights, b[2], b[3]);
      }
    }
    sync_block();
  }
  copy_wait<0>();

#pragma unroll
  for (int half = 0; half < 2; half++) {
    sum[half] += shuffle_xor(sum[half], 1);
    sum[half] += shuffle_xor(sum[half], 2);
    const int row = warp_row + lane / 4 + 8 * half;
    if (row >= rows) continue;
    const std::size_t to = (packed + row) * a.query_heads + query_head;
    if (lane % 4 == 0 && a.log_sum_exp != nullptr) a.log_sum_exp[split * a.stride + to] = log_sum_of(top[half], sum[half]);
    if (a.out == nullptr) continue;
    const float share = top[half] == lowest ? 0.0f : 1 / sum[half];
#pragma unroll
    for (int j = 0; j < 2 * steps; j++) {
      float* out = a.out + to * head_dim + j * 8 + lane % 4 * 2;
      out[0] = mixed[j][2 * half] * share;
      out[1] = mixed[j][2 * half + 1] * share;
    }
  }
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/decode.cuh"
#include "kernels/tile.cuh"

// Attention of one row per sequence over 16-bit caches on tensor cores, for groups of up to 16 query heads: what is left to do beside reading the cache
// fits into the time of reading it. A warp takes 16 entries at a time: scores [entries, vectors] = keys · queriesᵀ, mixed [channels, vectors] =
// valuesᵀ · weights. Queries and weights are the sum of two 16-bit parts, so that what is lost is about what float32 loses.
namespace kvsift::KVSIFT_TARGET {

constexpr int decode_tile_entries = 16;
constexpr int decode_warps = decode_threads / 32;

/** Tiles of a warp on their way at once. */
constexpr int decode_tile_stages(int head_dim) { return head_dim <= 96 ? 4 : 2; }
/** Keys and values on their way, and afterwards what the warps have summed up. */
constexpr std::size_t decode_tiles_bytes(int head_dim) {
  const int stride = head_dim % 64 == 0 ? head_dim : head_dim + 8;
  return std::size_t{2} * decode_warps * decode_tile_stages(head_dim) * decode_tile_entries * stride * 2;
}

/** x as the sum of two elements. */
template <class Element>
struct TwoParts {
  float high, low;
  __device__ explicit TwoParts(float x) : high(Element::round(x).widen()), low(x - high) {}
};

/** Register of two elements, of both parts. */
template <class Element>
__device__ __forceinline__ void pack_parts(float first, float second, std::uint32_t& high, std::uint32_t& low) {
  const TwoParts<Element> a(first);
  const TwoParts<Element> b(second);
  high = pack2<Element>(a.high, b.high);
  low = pack2<Element>(a.low, b.low);
}

/** An 8 × 8 matrix of 16-bit elements, one row's pair per lane, turned over. */
__device__ __forceinline__ std::uint32_t transposed(std::uint32_t pair) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned from = lane % 4 * 8 + lane / 8;
  const std::uint32_t even = shuffle(pair, from);
  const std::uint32_t odd = shuffle(pair, from + 4);
  return lane / 4 % 2 == 0 ? (even & 0xffffu) | odd << 16 : even >> 16 | (odd & 0xffff0000u);
}

/** `columns`: 8 query vectors each. */
template <class Element, int head_dim, int columns>
__global__ void __launch_bounds__(decode_threads) decode_tiles(const __grid_constant__ DecodeArguments a, int vectors) {
  await_previous();
  constexpr int steps = head_dim / 16;
  constexpr int stages = decode_tile_stages(head_dim);
  constexpr int elements = decode_tile_entries * tile_stride<head_dim>;
  const int work = static_cast<int>(blockIdx.x);
  if (work >= a.first[a.items]) return;
  const DecodeTask task = a.tasks[work];
  const DecodeItem at = decode_item(a, task.item, vectors);
  const DecodePiece& piece = a.pieces[at.piece];
  const KvView& view = piece.view;
  const auto head = static_cast<unsigned>(at.head);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int group_lane = lane / 4;
  const int pair = lane % 4 * 2;
  const int query_heads = a.kv_heads * a.group;
  const std::size_t row = static_cast<std::size_t>(piece.packed + piece.row);

  auto* const room = dynamic_shared<Element>() + warp * stages * 2 * elements;
  const auto fetch = [&](int base, int stage) {
    if (base < task.end) {
      constexpr int parts = head_dim / 8;
      Element* const keys = room + stage * 2 * elements;
      for (int index = lane; index < decode_tile_entries * parts; index += 32) {
        const int entry = index / parts;
        const int part = index % parts;
        const bool valid = base + entry < task.end;
        const std::size_t from = valid ? static_cast<std::size_t>(row_of(view, head, static_cast<unsigned>(base + entry))) * head_dim + part * 8 : 0;
        Element* const to = keys + tile_at<head_dim>(entry, part / 2 * 16, part % 2);
        copy_async(to, static_cast<const Element*>(view.keys) + from, valid);
        if (a.out != nullptr) copy_async(to + elements, static_cast<const Element*>(view.values) + from, valid);
      }
    }
    copy_commit();
  };
  constexpr int stride = decode_warps * decode_tile_entries;
  const int begin = task.begin + warp * decode_tile_entries;
#pragma unroll
  for (int stage = 0; stage < stages; stage++) fetch(begin + stage * stride, stage);

  std::uint32_t query_high[columns][steps][2];
  std::uint32_t query_low[columns][steps][2];
#pragma unroll
  for (int c = 0; c < columns; c++) {
    const int vector = c * 8 + group_lane;
    const float* q = a.q + (row * query_heads + at.head * a.group + (vector < vectors ? vector : 0)) * head_dim;
#pragma unroll
    for (int s = 0; s < steps; s++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const float* from = q + s * 16 + i * 8 + pair;
        pack_parts<Element>(vector < vectors ? from[0] : 0.0f, vector < vectors ? from[1] : 0.0f, query_high[c][s][i], query_low[c][s][i]);
      }
    }
  }

  float mixed[columns][steps][4];
  float top[columns][2];
  float sum[columns][2];
#pragma unroll
  for (int c = 0; c < columns; c++) {
    top[c][0] = top[c][1] = lowest;
    sum[c][0] = sum[c][1] = 0;
#pragma unroll
    for (int s = 0; s < steps; s++) mixed[c][s][0] = mixed[c][s][1] = mixed[c][s][2] = mixed[c][s][3] = 0;
  }

  int stage = 0;
  for (int base = begin; base < task.end; base += stride, stage = stage + 1 == stages ? 0 : stage + 1) {
    copy_wait<stages - 1>();
    sync_warp();
    const Element* const keys = room + stage * 2 * elements;
    float scores[columns][4];
#pragma unroll
    for (int c = 0; c < columns; c++) scores[c][0] = scores[c][1] = scores[c][2] = scores[c][3] = 0;
#pragma unroll
    for (int s = 0; s < steps; s++) {
      std::uint32_t key[4];
      load_rows<Element, head_dim>(key, keys, 0, 16 * s);
#pragma unroll
      for (int c = 0; c < columns; c++) {
        multiply_accumulate<Element>(scores[c], key, query_high[c][s][0], query_high[c][s][1]);
        multiply_accumulate<Element>(scores[c], key, query_low[c][s][0], query_low[c][s][1]);
      }
    }
    const int own[2] = {base + group_lane, base + group_lane + 8};
#pragma unroll
    for (int c = 0; c < columns; c++) {
#pragma unroll
      for (int i = 0; i < 4; i++) scores[c][i] = own[i / 2] < task.end ? logit_of(a.rule, scores[c][i]) : lowest;
    }
    if (a.scores != nullptr) {
#pragma unroll
      for (int c = 0; c < columns; c++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int vector = c * 8 + pair + i % 2;
          if (vector >= vectors || own[i / 2] >= task.end) continue;
          a.scores[(row * query_heads + at.head * a.group + vector) * a.score_stride + own[i / 2]] = scores[c][i] * ln_2;
        }
      }
    }
    std::uint32_t weight_high[columns][2];
    std::uint32_t weight_low[columns][2];
#pragma unroll
    for (int c = 0; c < columns; c++) {
      float higher[2];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        higher[i] = fmaxf(scores[c][i], scores[c][i + 2]);
#pragma unroll
        for (unsigned step = 4; step < 32; step *= 2) higher[i] = fmaxf(higher[i], shuffle_xor(higher[i], step));
        higher[i] = fmaxf(higher[i], top[c][i]);
      }
      // Seldom after the first entries.
      if (higher[0] != top[c][0] || higher[1] != top[c][1]) {
        const float kept[2] = {weight_of(top[c][0], higher[0]), weight_of(top[c][1], higher[1])};
#pragma unroll
        for (int s = 0; s < steps; s++) {
#pragma unroll
          for (int i = 0; i < 4; i++) mixed[c][s][i] *= kept[i % 2];
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
          sum[c][i] *= kept[i];
          top[c][i] = higher[i];
        }
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        scores[c][i] = weight_of(scores[c][i], top[c][i % 2]);
        sum[c][i % 2] += scores[c][i];
      }
#pragma unroll
      for (int half = 0; half < 2; half++) {
        std::uint32_t high;
        std::uint32_t low;
        pack_parts<Element>(scores[c][2 * half], scores[c][2 * half + 1], high, low);
        weight_high[c][half] = transposed(high);
        weight_low[c][half] = transposed(low);
      }
    }
    if (a.out != nullptr) {
#pragma unroll
      for (int s = 0; s < steps; s++) {
        std::uint32_t value[4];
        load_matrices<true>(value, keys + elements + tile_at<head_dim>(lane % 8 + lane / 16 * 8, 16 * s, lane / 8 % 2));
#pragma unroll
        for (int c = 0; c < columns; c++) {
          multiply_accumulate<Element>(mixed[c][s], value, weight_high[c][0], weight_high[c][1]);
          multiply_accumulate<Element>(mixed[c][s], value, weight_low[c][0], weight_low[c][1]);
        }
      }
    }
    sync_warp();
    fetch(base + stages * stride, stage);
  }

  copy_wait<0>();
  sync_block();
  __shared__ float tops[decode_warps][columns * 8];
  __shared__ float sums[decode_warps][columns * 8];
  float* const mixes = dynamic_shared<float>();  // [warps, 8 · columns, head_dim]
#pragma unroll
  for (int c = 0; c < columns; c++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float total = sum_across<4>(sum[c][i]);
      if (group_lane == 0) {
        tops[warp][c * 8 + pair + i] = top[c][i];
        sums[warp][c * 8 + pair + i] = total;
      }
    }
#pragma unroll
    for (int s = 0; s < steps; s++) {
#pragma unroll
      for (int i = 0; i < 4; i++) mixes[((warp * columns + c) * 8 + pair + i % 2) * head_dim + s * 16 + i / 2 * 8 + group_lane] = mixed[c][s][i];
    }
  }
  sync_block();
  for (int index = static_cast<int>(threadIdx.x); index < vectors * head_dim; index += decode_threads) {
    const int v = index / head_dim;
    float highest = lowest;
#pragma unroll
    for (int w = 0; w < decode_warps; w++) highest = fmaxf(highest, tops[w][v]);
    float total = 0;
    float mix = 0;
#pragma unroll
    for (int w = 0; w < decode_warps; w++) {
      const float weight = weight_of(tops[w][v], highest);
      total = fmaf(weight, sums[w][v], total);
      mix = fmaf(weight, mixes[(w * columns * 8 + v) * head_dim + index % head_dim], mix);
    }
    a.partial[(static_cast<std::size_t>(work) * vectors + v) * head_dim + index % head_dim] = mix;
    if (index % head_dim == 0) {
      a.state[(static_cast<std::size_t>(work) * vectors + v) * 2] = highest;
      a.state[(static_cast<std::size_t>(work) * vectors + v) * 2 + 1] = total;
    }
  }
}

}  // namespace kvsift::KVSIFT_TARGET

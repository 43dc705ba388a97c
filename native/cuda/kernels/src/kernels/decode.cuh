#pragma once

#include "kernels/decode_plan.cuh"
#include "math/q8.h"

// Attention of few rows: bound by reading the cache once. Work is cut by entries over all heads and sequences of the launch (flash decoding, Dao et
// al. 2023, with pieces of equal size instead of an equal number of pieces per head), and the queries of a group share each load.
namespace kvsift::KVSIFT_TARGET {

/** 8 channels of a row, on their way through shared memory: each thread reads what it copied itself, so no barrier is needed. */
template <class Element>
struct Channels {
  static constexpr int count = sizeof(Element) * 8 / 16;
  Vector16 words[count];
  __device__ static void fetch(Vector16* room, const void* data, std::int64_t row, int head_dim, int channel, bool valid) {
    const auto* from = reinterpret_cast<const unsigned char*>(static_cast<const Element*>(data) + (valid ? row * head_dim + channel : 0));
#pragma unroll
    for (int i = 0; i < count; i++) copy_async(room + i * decode_threads, from + 16 * i, valid);
  }
  __device__ void load(const Vector16* room) {
#pragma unroll
    for (int i = 0; i < count; i++) words[i] = room[i * decode_threads];
  }
  __device__ void widen(float (&out)[8]) const {
    const auto two = [&](std::uint32_t word, int at) {
      if constexpr (sizeof(Element) == 4) {
        out[at] = same_bits<float>(word);
      } else {
        out[at] = Element{static_cast<std::uint16_t>(word)}.widen();
        out[at + 1] = Element{static_cast<std::uint16_t>(word >> 16)}.widen();
      }
    };
    constexpr int step = 4 / sizeof(Element);
#pragma unroll
    for (int i = 0; i < count; i++) {
      two(words[i].x, i * 4 * step);
      two(words[i].y, i * 4 * step + step);
      two(words[i].z, i * 4 * step + 2 * step);
      two(words[i].w, i * 4 * step + 3 * step);
    }
  }
};

/** Eight codes and their scale: blocks lie at even addresses, where no asynchronous copy can read. */
template <>
struct Channels<Q8> {
  static constexpr int count = 1;
  Vector16 word;
  __device__ static void fetch(Vector16* room, const void* data, std::int64_t row, int head_dim, int channel, bool valid) {
    Vector16 out{0, 0, 0, 0};
    if (valid) {
      const unsigned char* block = q8_block(data, row, head_dim, static_cast<unsigned>(channel));
      const unsigned char* codes = block + 2 + channel % q8_values;
      out.x = q8_pair(codes) | static_cast<std::uint32_t>(q8_pair(codes + 2)) << 16;
      out.y = q8_pair(codes + 4) | static_cast<std::uint32_t>(q8_pair(codes + 6)) << 16;
      out.z = q8_pair(block);
    }
    *room = out;
  }
  __device__ void load(const Vector16* room) { word = *room; }
  __device__ void widen(float (&out)[8]) const {
    const float scale = f16_widen(static_cast<std::uint16_t>(word.z));
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const std::uint32_t four = i < 4 ? word.x : word.y;
      out[i] = scale * static_cast<float>(static_cast<std::int8_t>(four >> 8 * (i % 4)));
    }
  }
};

/** Entries of a set of lanes that are read together, and how many such reads are on their way at once. */
template <class Element, int vectors>
constexpr int decode_ahead = vectors >= 8 || sizeof(Element) == 4 ? 2 : 4;
constexpr int decode_stages = 3;

/** Shared memory of decode_work: entries on their way, and afterwards what the sets of lanes have summed up. */
template <class Element, int vectors>
constexpr std::size_t decode_bytes = std::size_t{decode_threads} * 8 *
                                     (4 * decode_stages * decode_ahead<Element, vectors> * Channels<Element>::count > vectors * sizeof(float)
                                          ? 4 * decode_stages * decode_ahead<Element, vectors> * Channels<Element>::count
                                          : vectors * sizeof(float));

/**
 * One piece of work per block: `lanes` lanes hold one row of the cache, 8 channels each, and each such set of lanes keeps its own running softmax
 * of `vectors` queries; the sets meet at the end.
 */
template <class Element, int lanes, int vectors>
__global__ void __launch_bounds__(decode_threads) decode_work(const __grid_constant__ DecodeArguments a) {
  await_previous();
  constexpr int sets = decode_threads / lanes;
  constexpr int ahead = decode_ahead<Element, vectors>;
  constexpr int count = Channels<Element>::count;
  const int work = static_cast<int>(blockIdx.x);
  if (work >= a.first[a.items]) return;
  const auto [item, begin, end] = a.tasks[work];
  const DecodeItem at = decode_item(a, item, vectors);
  const DecodePiece& piece = a.pieces[at.piece];
  const KvView& view = piece.view;
  const auto head = static_cast<unsigned>(at.head);
  const int used = piece.rows * a.group - at.vector < vectors ? piece.rows * a.group - at.vector : vectors;
  const int set = static_cast<int>(threadIdx.x) / lanes;
  const int channel = static_cast<int>(threadIdx.x) % lanes * 8;
  const bool inside = channel < a.head_dim;
  const int query_heads = a.kv_heads * a.group;

  float q[vectors][8];
  int row_first[vectors];
  int row_end[vectors];
  float sum[vectors];
  float top[vectors];
  float acc[vectors][8];
  const int length = view.lengths[head];
#pragma unroll
  for (int v = 0; v < vectors; v++) {
    const int row = piece.row + (at.vector + v) / a.group;
    const int query_head = at.head * a.group + (at.vector + v) % a.group;
    const SlotRange range = v < used ? seen_by(piece.sight, view, head, length, row) : SlotRange{0, 0};
    row_first[v] = range.first;
    row_end[v] = range.end;
    top[v] = lowest;
    sum[v] = 0;
    const float* from = a.q + (static_cast<std::size_t>(piece.packed + row) * query_heads + query_head) * a.head_dim + channel;
#pragma unroll
    for (int c = 0; c < 8; c++) {
      q[v][c] = v < used && inside ? from[c] : 0.0f;
      acc[v][c] = 0;
    }
  }

  auto* const room = dynamic_shared<Vector16>() + threadIdx.x;
  const auto place = [&](int stage, int u, bool value) { return room + ((stage * ahead + u) * 2 + (value ? 1 : 0)) * count * decode_threads; };
  const auto fetch = [&, begin = begin, end = end](int base) {
    if (base < end) {
      const int stage = (base - begin) / (sets * ahead) % decode_stages;
#pragma unroll
      for (int u = 0; u < ahead; u++) {
        const int slot = base + u * sets + set;
        const bool valid = inside && slot < end;
        const std::int64_t row = valid ? row_of(view, head, static_cast<unsigned>(slot)) : 0;
        Channels<Element>::fetch(place(stage, u, false), view.keys, row, a.head_dim, channel, valid);
        if (a.out != nullptr) Channels<Element>::fetch(place(stage, u, true), view.values, row, a.head_dim, channel, valid);
      }
    }
    copy_commit();
  };
#pragma unroll
  for (int stage = 0; stage < decode_stages; stage++) fetch(begin + stage * sets * ahead);
  int stage = 0;
  for (int base = begin; base < end; base += sets * ahead, stage = stage + 1 == decode_stages ? 0 : stage + 1) {
    copy_wait<decode_stages - 1>();
    Channels<Element> key[ahead];
    Channels<Element> value[ahead];
#pragma unroll
    for (int u = 0; u < ahead; u++) {
      key[u].load(place(stage, u, false));
      if (a.out != nullptr) value[u].load(place(stage, u, true));
    }
    fetch(base + decode_stages * sets * ahead);
    float logit[ahead][vectors];
#pragma unroll
    for (int u = 0; u < ahead; u++) {
      float k[8];
      key[u].widen(k);
#pragma unroll
      for (int v = 0; v < vectors; v++) {
        float dot = 0;
#pragma unroll
        for (int c = 0; c < 8; c++) dot = fmaf(q[v][c], k[c], dot);
        dot = warp_sum<lanes>(dot);
        const int slot = base + u * sets + set;
        logit[u][v] = slot < end && slot >= row_first[v] && slot < row_end[v] ? logit_of(a.rule, dot) : lowest;
      }
    }
    if (a.scores != nullptr && channel == 0) {
#pragma unroll
      for (int v = 0; v < vectors; v++) {
        if (v >= used) break;
        const int row = piece.packed + piece.row + (at.vector + v) / a.group;
        float* to = a.scores + (static_cast<std::size_t>(row) * query_heads + at.head * a.group + (at.vector + v) % a.group) * a.score_stride;
#pragma unroll
        for (int u = 0; u < ahead; u++) {
          const int slot = base + u * sets + set;
          if (slot < end) to[slot] = logit[u][v] * ln_2;
        }
      }
    }
#pragma unroll
    for (int v = 0; v < vectors; v++) {
      float higher = top[v];
#pragma unroll
      for (int u = 0; u < ahead; u++) higher = fmaxf(higher, logit[u][v]);
      // Seldom after the first entries.
      if (higher != top[v]) {
        const float kept = weight_of(top[v], higher);
        top[v] = higher;
        sum[v] *= kept;
#pragma unroll
        for (int c = 0; c < 8; c++) acc[v][c] *= kept;
      }
#pragma unroll
      for (int u = 0; u < ahead; u++) {
        logit[u][v] = weight_of(logit[u][v], higher);
        sum[v] += logit[u][v];
      }
    }
#pragma unroll
    for (int u = 0; u < ahead; u++) {
      float x[8];
      value[u].widen(x);
#pragma unroll
      for (int v = 0; v < vectors; v++) {
        // An entry that a row does not see must not reach it, not even as 0 · ∞.
        if (logit[u][v] != 0) {
#pragma unroll
          for (int c = 0; c < 8; c++) acc[v][c] = fmaf(logit[u][v], x[c], acc[v][c]);
        }
      }
    }
  }

  copy_wait<0>();
  sync_block();
  __shared__ float tops[sets][vectors];
  __shared__ float sums[sets][vectors];
  float* const accs = dynamic_shared<float>();  // [sets, vectors, 8 · lanes]
#pragma unroll
  for (int v = 0; v < vectors; v++) {
    if (channel == 0) {
      tops[set][v] = top[v];
      sums[set][v] = sum[v];
    }
#pragma unroll
    for (int c = 0; c < 8; c++) accs[(set * vectors + v) * 8 * lanes + channel + c] = acc[v][c];
  }
  sync_block();
  for (int index = static_cast<int>(threadIdx.x); index < used * a.head_dim; index += decode_threads) {
    const int v = index / a.head_dim;
    const int c = index % a.head_dim;
    float highest = lowest;
    for (int s = 0; s < sets; s++) highest = fmaxf(highest, tops[s][v]);
    float total = 0;
    float mixed = 0;
    for (int s = 0; s < sets; s++) {
      const float weight = weight_of(tops[s][v], highest);
      total = fmaf(weight, sums[s][v], total);
      mixed = fmaf(weight, accs[(s * vectors + v) * 8 * lanes + c], mixed);
    }
    a.partial[(static_cast<std::size_t>(work) * vectors + v) * a.head_dim + c] = mixed;
    if (c == 0) {
      a.state[(static_cast<std::size_t>(work) * vectors + v) * 2] = highest;
      a.state[(static_cast<std::size_t>(work) * vectors + v) * 2 + 1] = total;
    }
  }
}

constexpr unsigned join_threads = 256;

/** Joins the pieces of each item: one block per item and vector. Its threads share the pieces out, 4 channels each. */
__global__ void __launch_bounds__(join_threads) decode_join(const __grid_constant__ DecodeArguments a, int vectors) {
  await_previous();
  __shared__ float room[33];
  __shared__ float parts[join_threads * 4];
  const int item = static_cast<int>(blockIdx.x);
  const int v = static_cast<int>(blockIdx.y);
  const DecodeItem at = decode_item(a, item, vectors);
  const DecodePiece& piece = a.pieces[at.piece];
  if (at.vector + v >= piece.rows * a.group) return;
  const int first = a.first[item];
  const int last = a.first[item + 1];
  const auto thread = static_cast<int>(threadIdx.x);
  constexpr auto threads = static_cast<int>(join_threads);
  const auto state = [&](int work) { return a.state + (static_cast<std::size_t>(work) * vectors + v) * 2; };
  float highest = lowest;
  for (int work = first + thread; work < last; work += threads) highest = fmaxf(highest, state(work)[0]);
  highest = block_max(highest, room);
  float total = 0;
  for (int work = first + thread; work < last; work += threads) total = fmaf(weight_of(state(work)[0], highest), state(work)[1], total);
  total = block_sum(total, room);
  const std::size_t row = static_cast<std::size_t>(piece.packed + piece.row + (at.vector + v) / a.group);
  const std::size_t to = row * (a.kv_heads * a.group) + at.head * a.group + (at.vector + v) % a.group;
  if (thread == 0 && a.log_sum_exp != nullptr) a.log_sum_exp[to] = log_sum_of(highest, total);
  if (a.out == nullptr) return;

  const int quarters = a.head_dim / 4;
  const int shares = threads / quarters;
  const int quarter = thread % quarters;
  const int share = thread / quarters;
  float mixed[4] = {};
  if (share < shares) {
#pragma unroll 4
    for (int work = first + share; work < last; work += shares) {
      const float weight = weight_of(state(work)[0], highest);
      const Vector16 part = load16(a.partial + (static_cast<std::size_t>(work) * vectors + v) * a.head_dim + quarter * 4);
      mixed[0] = fmaf(weight, same_bits<float>(part.x), mixed[0]);
      mixed[1] = fmaf(weight, same_bits<float>(part.y), mixed[1]);
      mixed[2] = fmaf(weight, same_bits<float>(part.z), mixed[2]);
      mixed[3] = fmaf(weight, same_bits<float>(part.w), mixed[3]);
    }
#pragma unroll
    for (int c = 0; c < 4; c++) parts[share * a.head_dim + quarter * 4 + c] = mixed[c];
  }
  sync_block();
  const float scale = highest == lowest ? 0.0f : 1 / total;
  for (int c = thread; c < a.head_dim; c += threads) {
    float sum = 0;
    for (int s = 0; s < shares; s++) sum += parts[s * a.head_dim + c];
    a.out[to * a.head_dim + c] = sum * scale;
  }
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/warp.cuh"
#include "math/attention.h"

// The work of the split-entry kernels, laid out on the device: pieces of like size, whatever the lengths of the heads.
namespace kvsift::KVSIFT_TARGET {

constexpr int decode_threads = 128;
constexpr int decode_pieces = 16;

/** Rows of one sequence in a launch. */
struct DecodePiece {
  KvView view;
  Sight sight;
  int row;        // first row to compute, of the sequence's rows
  int rows;       // rows to compute
  int packed;     // packed row of sight row 0
  int first_item; // items before this piece's
};

/** Entries begin ... end of an item, for one block. */
struct alignas(16) DecodeTask {
  int item, begin, end;
};

struct DecodeArguments {
  DecodePiece pieces[decode_pieces];
  int piece_count;
  int items;
  int kv_heads;
  int group;      // query heads per KV head
  int head_dim;
  int target;     // blocks that run at once
  LogitRule rule;
  const float* q;
  DecodeTask* tasks;     // [target + items]
  std::int32_t* first;   // [items + 1]: first task of each item
  std::int32_t* ranges;  // [items, 2]: entries of each item
  float* partial;        // [work, vectors, head_dim]
  float* state;          // [work, vectors, 2]: maximum and sum
  float* out;            // or null
  float* log_sum_exp;    // or null
  float* scores;         // or null
  std::size_t score_stride;
};

/** One item: a KV head of a sequence and `vectors` of its query vectors (row, head of the group), rows first. */
struct DecodeItem {
  int piece, head, vector;
};

__device__ inline DecodeItem decode_item(const DecodeArguments& a, int item, int vectors) {
  int piece = 0;
  while (piece + 1 < a.piece_count && a.pieces[piece + 1].first_item <= item) piece++;
  const int own = item - a.pieces[piece].first_item;
  const int tiles = (a.pieces[piece].rows * a.group + vectors - 1) / vectors;
  return {piece, own / tiles, own % tiles * vectors};
}

/** Lays the work out: one block. */
__global__ void __launch_bounds__(256) decode_plan(const __grid_constant__ DecodeArguments a, int vectors) {
  await_previous();
  __shared__ long long room[33];
  __shared__ int counts[33];
  long long entries = 0;
  for (int item = static_cast<int>(threadIdx.x); item < a.items; item += static_cast<int>(blockDim.x)) {
    const DecodeItem at = decode_item(a, item, vectors);
    const DecodePiece& piece = a.pieces[at.piece];
    const int length = piece.view.lengths[at.head];
    const int last = at.vector + vectors < piece.rows * a.group ? at.vector + vectors : piece.rows * a.group;
    SlotRange range = seen_by(piece.sight, piece.view, static_cast<unsigned>(at.head), length, piece.row + at.vector / a.group);
    for (int row = at.vector / a.group + 1; row <= (last - 1) / a.group; row++) {
      const SlotRange other = seen_by(piece.sight, piece.view, static_cast<unsigned>(at.head), length, piece.row + row);
      range.first = other.first < range.first ? other.first : range.first;
      range.end = other.end > range.end ? other.end : range.end;
    }
    a.ranges[2 * item] = range.first;
    a.ranges[2 * item + 1] = range.end;
    entries += range.end - range.first;
  }
  SplitPlan plan = split_plan(block_sum(entries, room), a.target);
  for (int turn = 0; a.items < a.target && turn < most_coarser; turn++) {
    int pieces = 0;
    for (int item = static_cast<int>(threadIdx.x); item < a.items; item += static_cast<int>(blockDim.x)) {
      pieces += pieces_of(plan, a.ranges[2 * item + 1] - a.ranges[2 * item]);
    }
    if (block_sum(pieces, counts) <= a.target) break;
    plan = coarser(plan);
  }
  int before = 0;
  for (int base = 0; base < a.items; base += static_cast<int>(blockDim.x)) {
    const int item = base + static_cast<int>(threadIdx.x);
    const int own = item < a.items ? pieces_of(plan, a.ranges[2 * item + 1] - a.ranges[2 * item]) : 0;
    int total;
    const int at = block_sum_before(own, counts, total);
    if (item < a.items) a.first[item] = before + at;
    before += total;
  }
  if (threadIdx.x == 0) a.first[a.items] = before;
  sync_block();
  for (int work = static_cast<int>(threadIdx.x); work < before; work += static_cast<int>(blockDim.x)) {
    const int item = item_of(a.first, a.items, work);
    const int begin = a.ranges[2 * item] + (work - a.first[item]) * plan.chunk;
    const int end = begin + plan.chunk < a.ranges[2 * item + 1] ? begin + plan.chunk : a.ranges[2 * item + 1];
    a.tasks[work] = {item, begin, end};
  }
}

}  // namespace kvsift::KVSIFT_TARGET

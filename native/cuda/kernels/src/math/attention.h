#pragma once

#include "kvsift_cuda.h"
#include "math/numbers.h"

// Which entries a row sees, where they lie, and the running softmax.
namespace kvsift::KVSIFT_TARGET {

using KvView = kvsift_cuda_kv_view;

constexpr float log2_e = 1.4426950408889634f;
constexpr float ln_2 = 0.6931471805599453f;

/** Row of an entry in `keys`, `values` and `positions`. */
KVSIFT_BOTH std::int64_t row_of(const KvView& view, unsigned head, unsigned slot) {
  if (view.table == nullptr) return static_cast<std::int64_t>(view.starts[head]) + slot;
  const auto size = static_cast<unsigned>(view.block_size);
  const std::int64_t block = view.table[head * view.blocks_per_head + slot / size];
  return block * size + slot % size;
}

/** First slot of a head whose position is at least `position`. */
KVSIFT_BOTH int first_at_position(const KvView& view, unsigned head, int length, std::int64_t position) {
  int low = 0;
  int high = length;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    const std::int64_t here = view.positions != nullptr ? view.positions[row_of(view, head, static_cast<unsigned>(middle))] : middle;
    if (here < position) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Rules by which query rows see entries; what `attention`, `attentionColumns` and `attentionRows` differ in. */
struct Sight {
  int rows = 0;                             // rows of the segment
  int behind = 0;
  bool causal = true;
  int window = 0;
  const std::int32_t* ends = nullptr;       // of the segment's rows, or null
  const std::int32_t* positions = nullptr;  // likewise
};

struct SlotRange {
  int first;
  int end;
};

/** Entries that row `row` of a segment sees in a head with `length` entries. */
KVSIFT_BOTH SlotRange seen_by(const Sight& sight, const KvView& view, unsigned head, int length, int row) {
  int end = length;
  if (sight.ends != nullptr) {
    end = sight.ends[row];
  } else if (sight.causal) {
    end = length - sight.behind - sight.rows + row + 1;
  }
  end = end < 0 ? 0 : end > length ? length : end;
  int first = 0;
  if (sight.window > 0) first = first_at_position(view, head, length, static_cast<std::int64_t>(sight.positions[row]) - sight.window + 1);
  return {first < end ? first : end, end};
}

/** The first row of a segment, in tiles of `tile`, that may see the entries from `base` on: under the causal rule the rows before see none of them. */
KVSIFT_BOTH int first_row_that_sees(const Sight& sight, int length, int base, int tile) {
  if (sight.ends != nullptr || !sight.causal) return 0;
  const int row = base - (length - sight.behind - sight.rows);
  return row < 0 ? 0 : row / tile * tile;
}

/** Scaled and capped logits, times log₂ e, so that the softmax runs on powers of two. */
struct LogitRule {
  float factor;  // on q · k
  float cap;     // 0: none; otherwise cap · log₂ e
};

KVSIFT_BOTH LogitRule logit_rule(float scale, float softcap) {
  if (softcap > 0) return {scale / softcap, softcap * log2_e};
  return {scale * log2_e, 0.0f};
}

#if defined(__CUDACC__) || defined(KVSIFT_EMULATED)

/** A logit in powers of two. */
__device__ inline float logit_of(const LogitRule& rule, float dot) {
  const float x = dot * rule.factor;
  return rule.cap > 0 ? rule.cap * tanh_fast(x) : x;
}

/** 2^(x − top); 0 of −∞ whatever the top. */
__device__ inline float weight_of(float x, float top) { return x == lowest ? 0.0f : exp2_fast(x - top); }

/** Natural log-sum-exp of a running softmax. */
__device__ inline float log_sum_of(float top, float sum) { return top == lowest ? lowest : (top + log2f(sum)) * ln_2; }

#endif

/** How the entries of many heads are cut into pieces of work: by their sum, so that a long head becomes many pieces and a short one stays whole. */
struct SplitPlan {
  int chunk;  // entries of a piece, a multiple of 64
};

/** @param total entries of all items  @param target pieces that fill the device */
KVSIFT_BOTH SplitPlan split_plan(std::int64_t total, int target) {
  const std::int64_t even = (total + target - 1) / target;
  const std::int64_t chunk = (even + 63) / 64 * 64;
  return {static_cast<int>(chunk < 64 ? 64 : chunk)};
}

/** Larger pieces, where the last ones of the items have made more pieces than can run at once: one that starts late costs a whole turn. */
KVSIFT_BOTH SplitPlan coarser(const SplitPlan& plan) { return {plan.chunk + (plan.chunk / 32 + 63) / 64 * 64}; }
constexpr int most_coarser = 24;

/** Pieces of an item with `entries` entries; at most target + items of them in all. */
KVSIFT_BOTH int pieces_of(const SplitPlan& plan, int entries) { return (entries + plan.chunk - 1) / plan.chunk; }

/** The item to which piece `piece` belongs: the last one whose first piece is not behind it. `first` is [items + 1]. */
KVSIFT_BOTH int item_of(const std::int32_t* first, int items, int piece) {
  int low = 0;
  int high = items;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first[middle] <= piece) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvsift/context.h"
#include "kvsift/dtype.h"

namespace kvsift {

/**
 * Keys and values of one layer of one sequence: `KvView` of packages/tensor/src/kv.ts on raw pointers. Entry `slot` of head g is row
 * `starts[g] + slot`, or `table[g * blocks_per_head + slot / block_size] * block_size + slot % block_size` where there is a table.
 */
struct KvView {
  DType type = DType::f32;  // f32, f16, bf16, or q8_0 with a head_dim of whole blocks
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  void* keys = nullptr;    // [rows, head_dim], aligned to the element
  void* values = nullptr;  // likewise
  std::int32_t* lengths = nullptr;          // [kv_heads]
  const std::int32_t* starts = nullptr;     // [kv_heads]; unused with a table
  std::int32_t* positions = nullptr;        // [rows] or null; ascending within a head
  const std::int32_t* table = nullptr;      // [kv_heads, blocks_per_head] or null
  std::size_t block_size = 0;
  std::size_t blocks_per_head = 0;
};

/** `rows` consecutive token rows of a packed batch and the view they belong to. */
struct KvSegment {
  KvView view;
  std::size_t rows = 0;
};

/** Kept slots, ascending per head, heads back to back; head g has indices[offsets[g] ... offsets[g + 1]). */
struct SlotSelection {
  const std::int32_t* indices = nullptr;
  const std::int32_t* offsets = nullptr;  // [kv_heads + 1]
};

/**
 * Writes rows of k and v (f32 [all rows, kv_heads · head_dim]) behind the entries of each segment's view and adds the rows to its lengths.
 * @param positions i32 [all rows]; used where a view keeps positions, may be null where none does
 */
void kv_append(Context& context, std::span<const KvSegment> segments, const float* k, const float* v, const std::int32_t* positions);

/** Copies the selected entries (null: all) of `from` to the slots 0, 1, ... of `to`, with positions where both keep them, and sets its lengths. Types may differ. */
void kv_gather(Context& context, const KvView& from, const SlotSelection* selection, const KvView& to);

/** Moves the selected entries of each head, which ascend, to its slots 0, 1, ... in the same memory, and sets its lengths. */
void kv_compact(Context& context, const KvView& view, const SlotSelection& selection);

enum class KvPart : std::uint8_t { keys, values };

/** f32 [kv_heads, n, head_dim] from the entries first, first + 1, ... of a view whose heads all hold as many. */
void kv_read(Context& context, const KvView& view, KvPart part, std::size_t first, std::size_t n, float* out);

/** Overwrites a part of a view whose heads all hold n entries with f32 [kv_heads, n, head_dim]. */
void kv_replace(Context& context, const KvView& view, KvPart part, std::size_t n, const float* x);

}  // namespace kvsift

#include <algorithm>

#include "launch/kv_view.h"

namespace kvsift::launch {

namespace {

[[noreturn]] void fail(const char* op, std::size_t head, const std::string& sentence) {
  throw Fault(Code::invalid_argument, op, std::string(op) + ": head " + std::to_string(head) + " of the cache " + sentence);
}

/** Entries [0, count) of a head in a paged view lie inside `rows`. */
void check_blocks(const char* op, const View& view, std::size_t head, std::size_t count, std::size_t rows) {
  const std::size_t width = view.table->shape[1];
  const std::int32_t* blocks = view.table->integers() + head * width;
  if (count > width * view.block_size) fail(op, head, "has no block for " + std::to_string(count) + " entries");
  for (std::size_t first = 0; first < count; first += view.block_size) {
    const std::int64_t block = blocks[first / view.block_size];
    const std::size_t used = std::min(view.block_size, count - first);
    if (block < 0 || static_cast<std::size_t>(block) * view.block_size + used > rows) fail(op, head, "names the block " + std::to_string(block) + ", which lies outside its memory");
  }
}

/** The entries that a selection asks for exist. */
void check_selection(const char* op, const KvView& from, const SlotSelection& selection, std::size_t total, bool ascending) {
  const auto fail = [op](const std::string& sentence) { throw Fault(Code::invalid_argument, op, std::string(op) + ": " + sentence); };
  if (selection.offsets[0] != 0 || static_cast<std::size_t>(selection.offsets[from.kv_heads]) != total) fail("the offsets do not run from 0 to the total");
  for (std::size_t head = 0; head < from.kv_heads; head++) {
    const std::int32_t start = selection.offsets[head];
    const std::int32_t end = selection.offsets[head + 1];
    if (start < 0 || end < start || static_cast<std::size_t>(end) > total) fail("the offsets do not ascend");
    for (std::int32_t i = start; i < end; i++) {
      const std::int32_t slot = selection.indices[i];
      if (slot < 0 || slot >= from.lengths[head]) {
        fail("slot " + std::to_string(slot) + " of head " + std::to_string(head) + ", which holds " + std::to_string(from.lengths[head]) + " entries");
      }
      if (ascending && i > start && slot <= selection.indices[i - 1]) {
        fail("slot " + std::to_string(slot) + " of head " + std::to_string(head) + " does not lie behind slot " + std::to_string(selection.indices[i - 1]));
      }
    }
  }
}

}  // namespace

KvView resolve(Context&, const char* op, const View& view, std::size_t extra) {
  const std::size_t rows = view.keys.shape[0];
  const std::int32_t* lengths = view.lengths.integers();
  const std::int32_t* starts = view.starts.integers();
  for (std::size_t head = 0; head < view.kv_heads; head++) {
    if (lengths[head] < 0) fail(op, head, "has a negative length");
    const std::size_t count = static_cast<std::size_t>(lengths[head]) + extra;
    if (view.table) {
      check_blocks(op, view, head, count, rows);
    } else if (starts[head] < 0 || static_cast<std::size_t>(starts[head]) + count > rows) {
      fail(op, head, "holds " + std::to_string(count) + " entries from row " + std::to_string(starts[head]) + " on, outside its " +
                         std::to_string(rows) + " rows");
    }
  }
  KvView out;
  out.type = view.dtype;
  out.kv_heads = view.kv_heads;
  out.head_dim = view.head_dim;
  out.keys = view.keys.storage->data();
  out.values = view.values.storage->data();
  out.lengths = view.lengths.integers();
  out.starts = starts;
  out.positions = view.positions ? view.positions->integers() : nullptr;
  out.table = view.table ? view.table->integers() : nullptr;
  out.block_size = view.block_size;
  out.blocks_per_head = view.table ? view.table->shape[1] : 0;
  return out;
}

KvView resolve_uniform(Context& context, const char* op, const View& view) {
  for (std::size_t head = 0; head < view.kv_heads; head++) {
    const std::int32_t length = view.lengths.integers()[head];
    if (length < 0 || static_cast<std::size_t>(length) != view.max_length) {
      fail(op, head, "holds " + std::to_string(length) + " entries, not " + std::to_string(view.max_length));
    }
  }
  return resolve(context, op, view, 0);
}

void gather(Context& context, const View& from, const std::optional<SelectionTensors>& selection, const View& to) {
  const KvView source = resolve(context, "kvGather", from, 0);
  SlotSelection slots;
  if (selection) {
    slots = {selection->indices.integers(), selection->offsets.integers()};
    check_selection("kvGather", source, slots, selection->indices.count(), false);
  }
  // The room of the target is checked with the lengths that it will have.
  std::int32_t* lengths = to.lengths.integers();
  for (std::size_t head = 0; head < to.kv_heads; head++) {
    lengths[head] = selection ? slots.offsets[head + 1] - slots.offsets[head] : source.lengths[head];
  }
  const KvView target = resolve(context, "kvGather", to, 0);
  std::fill(lengths, lengths + to.kv_heads, 0);
  kvsift::kv_gather(context, source, selection ? &slots : nullptr, target);
}

void compact(Context& context, const View& view, const SelectionTensors& selection) {
  const KvView cache = resolve(context, "kvCompact", view, 0);
  const SlotSelection slots{selection.indices.integers(), selection.offsets.integers()};
  check_selection("kvCompact", cache, slots, selection.indices.count(), true);
  kvsift::kv_compact(context, cache, slots);
}

}  // namespace kvsift::launch

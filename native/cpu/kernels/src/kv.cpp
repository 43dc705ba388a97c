#include "kvsift/kv.h"

#include <cstring>

#include "kv_rows.h"

namespace kvsift {

void widen(const RowKernels& kernels, DType type, const void* from, std::size_t count, float* to) {
  if (type == DType::f32) std::memcpy(to, from, count * sizeof(float));
  else if (type == DType::q8_0) kernels.from_q8(static_cast<const std::byte*>(from), count, to);
  else if (type == DType::f16) kernels.from_f16(static_cast<const std::uint16_t*>(from), count, to);
  else kernels.from_bf16(static_cast<const std::uint16_t*>(from), count, to);
}

void narrow(const RowKernels& kernels, DType type, const float* from, std::size_t count, void* to) {
  if (type == DType::f32) std::memcpy(to, from, count * sizeof(float));
  else if (type == DType::q8_0) kernels.to_q8(from, count, static_cast<std::byte*>(to));
  else if (type == DType::f16) kernels.to_f16(from, count, static_cast<std::uint16_t*>(to));
  else kernels.to_bf16(from, count, static_cast<std::uint16_t*>(to));
}

std::size_t first_at_position(const KvView& view, const HeadRows& rows, std::size_t length, std::int64_t position) {
  std::size_t low = 0;
  std::size_t high = length;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const std::int64_t at = view.positions != nullptr ? view.positions[rows.row(middle)] : static_cast<std::int64_t>(middle);
    if (at < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

namespace {

/** Token rows of one head and task. */
constexpr std::size_t append_rows = 64;

void append_part(const RowKernels& kernels, const KvView& view, std::size_t head, std::size_t first, std::size_t last, const float* k, const float* v,
                 const std::int32_t* positions) {
  const HeadRows rows(view, head);
  const auto length = static_cast<std::size_t>(view.lengths[head]);
  const std::size_t stride = view.kv_heads * view.head_dim;
  for (std::size_t token = first; token < last; token++) {
    const std::size_t row = rows.row(length + token);
    narrow(kernels, view.type, k + token * stride + head * view.head_dim, view.head_dim, row_at(view.keys, view, row));
    narrow(kernels, view.type, v + token * stride + head * view.head_dim, view.head_dim, row_at(view.values, view, row));
    if (view.positions != nullptr && positions != nullptr) view.positions[row] = positions[token];
  }
}

void copy_entry(const RowKernels& kernels, const KvView& from, std::size_t from_row, const KvView& to, std::size_t to_row, float* widened) {
  for (const bool keys : {true, false}) {
    widen(kernels, from.type, row_at(static_cast<const void*>(keys ? from.keys : from.values), from, from_row), from.head_dim, widened);
    narrow(kernels, to.type, widened, from.head_dim, row_at(keys ? to.keys : to.values, to, to_row));
  }
  if (from.positions != nullptr && to.positions != nullptr) to.positions[to_row] = from.positions[from_row];
}

/** Calls `step(source row, target row, entries)` for slots [first, last) of a head, as many at once as lie in consecutive rows on both sides. `slots`: what they take, null for the same. */
template <class Step>
void each_move(const HeadRows& from, const HeadRows& to, const std::int32_t* slots, std::size_t first, std::size_t last, Step step) {
  for (std::size_t slot = first; slot < last;) {
    const std::size_t source = slots != nullptr ? static_cast<std::size_t>(slots[slot]) : slot;
    const std::size_t most = from.run(source, to.run(slot, last - slot));
    std::size_t count = slots != nullptr ? 1 : most;
    while (count < most && static_cast<std::size_t>(slots[slot + count]) == source + count) count++;
    step(from.row(source), to.row(slot), count);
    slot += count;
  }
}

/** Calls `step(element pointer, place in f32 [kv_heads, n, head_dim], values)` for n entries of a part, from `first` on, as many at once as lie in consecutive rows. */
template <class Step>
void each_run(Context& context, const KvView& view, KvPart part, std::size_t first, std::size_t n, Step step) {
  void* base = part == KvPart::keys ? view.keys : view.values;
  context.parallel_for(view.kv_heads * n, 256, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t at = begin; at < end;) {
      const HeadRows rows(view, at / n);
      const std::size_t slot = at % n;
      const std::size_t run = rows.run(first + slot, std::min(end - at, n - slot));
      step(row_at(base, view, rows.row(first + slot)), at * view.head_dim, run * view.head_dim);
      at += run;
    }
  });
}

}  // namespace

void kv_append(Context& context, std::span<const KvSegment> segments, const float* k, const float* v, const std::int32_t* positions) {
  const RowKernels& kernels = context.kernels().rows;
  std::size_t first_row = 0;
  for (const auto& [view, rows] : segments) {
    const std::size_t at = first_row * view.kv_heads * view.head_dim;
    const std::int32_t* own_positions = positions != nullptr ? positions + first_row : nullptr;
    const std::size_t pieces = (rows + append_rows - 1) / append_rows;
    context.parallel_for(view.kv_heads * pieces, rows < append_rows ? view.kv_heads : 1, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t task = begin; task < end; task++) {
        const std::size_t first = task % pieces * append_rows;
        append_part(kernels, view, task / pieces, first, std::min(rows, first + append_rows), k + at, v + at, own_positions);
      }
    });
    for (std::size_t head = 0; head < view.kv_heads; head++) view.lengths[head] += static_cast<std::int32_t>(rows);
    first_row += rows;
  }
}

void kv_gather(Context& context, const KvView& from, const SlotSelection* selection, const KvView& to) {
  const RowKernels& kernels = context.kernels().rows;
  constexpr std::size_t piece = 256;
  std::size_t most = 0;
  const auto count_of = [&](std::size_t head) {
    return static_cast<std::size_t>(selection != nullptr ? selection->offsets[head + 1] - selection->offsets[head] : from.lengths[head]);
  };
  for (std::size_t head = 0; head < from.kv_heads; head++) most = std::max(most, count_of(head));
  const std::size_t pieces = (most + piece - 1) / piece;
  context.parallel_for(from.kv_heads * pieces, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* widened = static_cast<float*>(context.thread_scratch(thread, from.head_dim * sizeof(float)));
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t head = task / pieces;
      const HeadRows from_rows(from, head);
      const HeadRows to_rows(to, head);
      const std::int32_t* slots = selection != nullptr ? selection->indices + selection->offsets[head] : nullptr;
      const std::size_t first = task % pieces * piece;
      const std::size_t last = std::min(count_of(head), first + piece);
      each_move(from_rows, to_rows, slots, first, last, [&](std::size_t source, std::size_t target, std::size_t count) {
        if (from.type != to.type) {
          for (std::size_t i = 0; i < count; i++) copy_entry(kernels, from, source + i, to, target + i, widened);
          return;
        }
        for (const bool keys : {true, false}) {
          std::memcpy(row_at(keys ? to.keys : to.values, to, target), row_at(static_cast<const void*>(keys ? from.keys : from.values), from, source),
                      count * entry_bytes(from.type, from.head_dim));
        }
        if (from.positions != nullptr && to.positions != nullptr) std::copy_n(from.positions + source, count, to.positions + target);
      });
    }
  });
  for (std::size_t head = 0; head < from.kv_heads; head++) to.lengths[head] = static_cast<std::int32_t>(count_of(head));
}

void kv_compact(Context& context, const KvView& view, const SlotSelection& selection) {
  // A part of a head in turn: an entry may move to where the one before it was.
  context.parallel_for(2 * view.kv_heads, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t head = task / 2;
      const bool keys = task % 2 == 0;
      const HeadRows rows(view, head);
      const std::int32_t* slots = selection.indices + selection.offsets[head];
      const auto count = static_cast<std::size_t>(selection.offsets[head + 1] - selection.offsets[head]);
      std::size_t first = 0;
      while (first < count && static_cast<std::size_t>(slots[first]) == first) first++;
      each_move(rows, rows, slots, first, count, [&](std::size_t source, std::size_t target, std::size_t entries) {
        void* part = keys ? view.keys : view.values;
        std::memmove(row_at(part, view, target), row_at(part, view, source), entries * entry_bytes(view.type, view.head_dim));
        if (keys && view.positions != nullptr) std::memmove(view.positions + target, view.positions + source, entries * sizeof(std::int32_t));
      });
    }
  });
  for (std::size_t head = 0; head < view.kv_heads; head++) view.lengths[head] = selection.offsets[head + 1] - selection.offsets[head];
}

void kv_read(Context& context, const KvView& view, KvPart part, std::size_t first, std::size_t n, float* out) {
  const RowKernels& kernels = context.kernels().rows;
  each_run(context, view, part, first, n, [&](const std::byte* entries, std::size_t at, std::size_t count) { widen(kernels, view.type, entries, count, out + at); });
}

void kv_replace(Context& context, const KvView& view, KvPart part, std::size_t n, const float* x) {
  const RowKernels& kernels = context.kernels().rows;
  each_run(context, view, part, 0, n, [&](std::byte* entries, std::size_t at, std::size_t count) { narrow(kernels, view.type, x + at, count, entries); });
}

}  // namespace kvsift

#pragma once

#include "kernels/entries.cuh"
#include "math/q8.h"

namespace kvsift::KVSIFT_TARGET {

constexpr int append_segments = 16;

struct AppendArguments {
  kvsift_cuda_kv_segment segments[append_segments];
  std::int64_t packed[append_segments];  // first packed row of each
  const float* k;
  const float* v;
  const std::int32_t* positions;
  std::int32_t* faults;
};

/** Writes element `at` of a segment. */
template <class Element>
__device__ __forceinline__ void append_element(const AppendArguments& a, std::size_t at) {
  const KvView& view = a.segments[blockIdx.y].view;
  const std::size_t width = view.kv_heads * view.head_dim;
  const std::size_t row = at / width;
  const auto head = static_cast<unsigned>(at % width / view.head_dim);
  const std::size_t channel = at % view.head_dim;
  const std::int64_t slot = static_cast<std::int64_t>(view.lengths[head]) + static_cast<std::int64_t>(row);
  if (view.lengths[head] < 0 || !entry_exists(view, head, slot)) {
    atomic_or(a.faults, KVSIFT_CUDA_FAULT_KV_RANGE);
    return;
  }
  const std::int64_t to = row_of(view, head, static_cast<unsigned>(slot));
  const std::size_t from = (static_cast<std::size_t>(a.packed[blockIdx.y]) + row) * width + head * view.head_dim + channel;
  static_cast<Element*>(view.keys)[to * view.head_dim + channel] = Element::round(a.k[from]);
  static_cast<Element*>(view.values)[to * view.head_dim + channel] = Element::round(a.v[from]);
  if (channel == 0 && view.positions != nullptr) view.positions[to] = a.positions[a.packed[blockIdx.y] + static_cast<std::int64_t>(row)];
}

/** Lengthens a head of a segment, after its rows are written. */
__device__ __forceinline__ void lengthen(const AppendArguments& a, unsigned head) {
  const kvsift_cuda_kv_segment& segment = a.segments[blockIdx.y];
  // Rows are written one by one; where the last one has no place the head stays as long as it was.
  const std::int64_t last = static_cast<std::int64_t>(segment.view.lengths[head]) + static_cast<std::int64_t>(segment.rows) - 1;
  if (segment.view.lengths[head] >= 0 && entry_exists(segment.view, head, last)) segment.view.lengths[head] += static_cast<std::int32_t>(segment.rows);
}

/** Grid: elements of a segment, segments. */
template <class Element>
__global__ void __launch_bounds__(256) append_rows(const __grid_constant__ AppendArguments a) {
  await_previous();
  const auto& segment = a.segments[blockIdx.y];
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at < segment.rows * segment.view.kv_heads * segment.view.head_dim) append_element<Element>(a, at);
}

/** Grid: heads, segments. */
__global__ void __launch_bounds__(256) append_lengths(const __grid_constant__ AppendArguments a) {
  await_previous();
  const unsigned head = blockIdx.x * blockDim.x + threadIdx.x;
  if (head < a.segments[blockIdx.y].view.kv_heads && a.segments[blockIdx.y].rows > 0) lengthen(a, head);
}

constexpr std::size_t few_elements = 4096;

/** Both at once where a segment is the work of one block, as while decoding. Grid: 1, segments. */
template <class Element>
__global__ void __launch_bounds__(1024) append_few(const __grid_constant__ AppendArguments a) {
  await_previous();
  const auto& segment = a.segments[blockIdx.y];
  const std::size_t count = segment.rows * segment.view.kv_heads * segment.view.head_dim;
  for (std::size_t at = threadIdx.x; at < count; at += blockDim.x) append_element<Element>(a, at);
  sync_block();
  if (segment.rows == 0) return;
  for (unsigned head = threadIdx.x; head < segment.view.kv_heads; head += blockDim.x) lengthen(a, head);
}

/** Rows to the slots 0, 1, ... of another view, a `Unit` at a time. Grid: units, heads. */
template <class Unit>
__global__ void __launch_bounds__(256) gather_rows(const KvView from, const KvView to, const std::int32_t* __restrict__ indices,
                                                   const std::int32_t* __restrict__ offsets, const std::int32_t* __restrict__ kept, int row_bytes,
                                                   std::int32_t* __restrict__ faults) {
  const unsigned head = blockIdx.y;
  const unsigned units = static_cast<unsigned>(row_bytes / static_cast<int>(sizeof(Unit)));
  const std::int32_t length = from.lengths[head];
  const unsigned count = static_cast<unsigned>(kept[head]) * units;
  for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < count; at += gridDim.x * blockDim.x) {
    const unsigned entry = at / units;
    const unsigned unit = at % units;
    std::int32_t slot = static_cast<std::int32_t>(entry);
    if (indices != nullptr) slot = chosen_slot(indices[static_cast<unsigned>(offsets[head]) + entry], length, faults);
    if (slot < 0) continue;
    const std::int64_t source = row_of(from, head, static_cast<unsigned>(slot));
    const std::int64_t target = row_of(to, head, entry);
    const Unit key = static_cast<const Unit*>(from.keys)[source * units + unit];
    const Unit value = static_cast<const Unit*>(from.values)[source * units + unit];
    static_cast<Unit*>(to.keys)[target * units + unit] = key;
    static_cast<Unit*>(to.values)[target * units + unit] = value;
    if (unit == 0 && from.positions != nullptr && to.positions != nullptr) to.positions[target] = from.positions[source];
  }
}

/** Grid: heads. */
__global__ void __launch_bounds__(256) set_lengths(const KvView to, const std::int32_t* __restrict__ kept) {
  const unsigned head = blockIdx.x * blockDim.x + threadIdx.x;
  if (head < to.kv_heads) to.lengths[head] = kept[head];
}

constexpr int compact_threads = 256;
constexpr int compact_slice = 64;  // bytes of a row that one block moves
constexpr int compact_ahead = 4;

/**
 * Compaction in place. Kept indices ascend, so entry j never lies before slot j: a block that reads a run of entries before it writes the run's slots,
 * and takes the runs in order, overwrites nothing that it still needs. Blocks share nothing: each has its own head and its own bytes of the rows.
 * A `Unit` at a time. Grid: slices of keys, slices of values and one for the positions; heads.
 */
template <class Unit>
__global__ void __launch_bounds__(compact_threads) compact_rows(const KvView view, const std::int32_t* __restrict__ indices,
                                                                const std::int32_t* __restrict__ offsets, const std::int32_t* __restrict__ kept,
                                                                int row_bytes, std::int32_t* __restrict__ faults) {
  const unsigned head = blockIdx.y;
  const int count = kept[head];
  const std::int32_t length = view.lengths[head];
  // A slot that does not exist leaves the row where it is.
  const auto source = [&](int entry) {
    const std::int32_t slot = chosen_slot(indices[offsets[head] + entry], length, faults);
    return row_of(view, head, static_cast<unsigned>(slot < 0 ? entry : slot));
  };
  const int slices = (row_bytes + compact_slice - 1) / compact_slice;
  const int slice = static_cast<int>(blockIdx.x);
  if (slice == 2 * slices) {
    for (int base = 0; base < count; base += compact_threads) {
      const int entry = base + static_cast<int>(threadIdx.x);
      std::int32_t position = 0;
      if (entry < count) position = view.positions[source(entry)];
      sync_block();
      if (entry < count) view.positions[row_of(view, head, static_cast<unsigned>(entry))] = position;
      sync_block();
    }
    return;
  }
  constexpr int pieces = compact_slice / static_cast<int>(sizeof(Unit));
  constexpr int run = compact_threads / pieces;
  auto* data = static_cast<unsigned char*>(slice < slices ? view.keys : view.values);
  const int byte = slice % slices * compact_slice + static_cast<int>(threadIdx.x) % pieces * static_cast<int>(sizeof(Unit));
  const auto at = [&](std::int64_t row) { return reinterpret_cast<Unit*>(data + row * row_bytes + byte); };
  for (int base = 0; base < count; base += run * compact_ahead) {
    Unit held[compact_ahead];
#pragma unroll
    for (int i = 0; i < compact_ahead; i++) {
      const int entry = base + i * run + static_cast<int>(threadIdx.x) / pieces;
      if (entry < count && byte < row_bytes) held[i] = *at(source(entry));
    }
    sync_block();
#pragma unroll
    for (int i = 0; i < compact_ahead; i++) {
      const int entry = base + i * run + static_cast<int>(threadIdx.x) / pieces;
      if (entry < count && byte < row_bytes) *at(row_of(view, head, static_cast<unsigned>(entry))) = held[i];
    }
    sync_block();
  }
}

/** Values of n entries of a uniform view, from `first` on, as f32 [kv_heads, n, head_dim], or back; heads that are not that long give 0 and stay. */
template <class Element, bool back>
__global__ void __launch_bounds__(256) copy_uniform(const KvView view, bool keys, std::size_t first, std::size_t n, float* __restrict__ x) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= view.kv_heads * n * view.head_dim) return;
  const auto head = static_cast<unsigned>(at / (n * view.head_dim));
  const auto slot = static_cast<unsigned>(first + at / view.head_dim % n);
  if (slot >= static_cast<unsigned>(view.lengths[head])) {
    if constexpr (!back) x[at] = 0;
    return;
  }
  const std::int64_t row = row_of(view, head, slot);
  const std::size_t channel = at % view.head_dim;
  void* const data = keys ? view.keys : view.values;
  if constexpr (back) {
    static_cast<Element*>(data)[row * view.head_dim + channel] = Element::round(x[at]);
  } else {
    x[at] = entry_value<Element>(data, row, static_cast<std::int64_t>(view.head_dim), static_cast<unsigned>(channel));
  }
}

}  // namespace kvsift::KVSIFT_TARGET

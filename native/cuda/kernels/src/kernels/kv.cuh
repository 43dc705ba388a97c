#pragma once

#include "math/attention.h"

namespace kvsift::KVSIFT_TARGET {

constexpr int append_segments = 16;

struct AppendArguments {
  kvsift_cuda_kv_segment segments[append_segments];
  std::int64_t packed[append_segments];  // first packed row of each
  const float* k;
  const float* v;
  const std::int32_t* positions;
};

/** Grid: elements of a segment, segments. */
template <class Element>
__global__ void __launch_bounds__(256) append_rows(const __grid_constant__ AppendArguments a) {
  const KvView& view = a.segments[blockIdx.y].view;
  const std::size_t width = view.kv_heads * view.head_dim;
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= a.segments[blockIdx.y].rows * width) return;
  const std::size_t row = at / width;
  const auto head = static_cast<unsigned>(at % width / view.head_dim);
  const std::size_t channel = at % view.head_dim;
  const std::int64_t to = row_of(view, head, static_cast<unsigned>(view.lengths[head]) + static_cast<unsigned>(row));
  const std::size_t from = (static_cast<std::size_t>(a.packed[blockIdx.y]) + row) * width + head * view.head_dim + channel;
  static_cast<Element*>(view.keys)[to * view.head_dim + channel] = Element::round(a.k[from]);
  static_cast<Element*>(view.values)[to * view.head_dim + channel] = Element::round(a.v[from]);
  if (channel == 0 && view.positions != nullptr) view.positions[to] = a.positions[a.packed[blockIdx.y] + static_cast<std::int64_t>(row)];
}

/** Lengthens the views, after their rows are written. Grid: heads, segments. */
__global__ void __launch_bounds__(256) append_lengths(const __grid_constant__ AppendArguments a) {
  const kvsift_cuda_kv_segment& segment = a.segments[blockIdx.y];
  const unsigned head = blockIdx.x * blockDim.x + threadIdx.x;
  if (head < segment.view.kv_heads) segment.view.lengths[head] += static_cast<std::int32_t>(segment.rows);
}

/** Entries kept of a head: the selection's, or all. */
KVSIFT_BOTH int kept_of(const KvView& from, const std::int32_t* offsets, unsigned head) {
  return offsets != nullptr ? offsets[head + 1] - offsets[head] : from.lengths[head];
}

/** Rows of `bytes` bytes to the slots 0, 1, ... of another view. Grid: pieces of 16 bytes, heads. */
__global__ void __launch_bounds__(256) gather_rows(const KvView from, const KvView to, const std::int32_t* __restrict__ indices,
                                                   const std::int32_t* __restrict__ offsets, int row_bytes) {
  const unsigned head = blockIdx.y;
  const unsigned pieces = static_cast<unsigned>(row_bytes) / 16;
  const unsigned count = static_cast<unsigned>(kept_of(from, offsets, head)) * pieces;
  for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < count; at += gridDim.x * blockDim.x) {
    const unsigned entry = at / pieces;
    const unsigned piece = at % pieces * 16;
    const std::int64_t source = row_of(from, head, indices != nullptr ? static_cast<unsigned>(indices[static_cast<unsigned>(offsets[head]) + entry]) : entry);
    const std::int64_t target = row_of(to, head, entry);
    const auto* keys = static_cast<const unsigned char*>(from.keys) + source * row_bytes + piece;
    const auto* values = static_cast<const unsigned char*>(from.values) + source * row_bytes + piece;
    const Vector16 key = load16(keys);
    const Vector16 value = load16(values);
    store16(static_cast<unsigned char*>(to.keys) + target * row_bytes + piece, key);
    store16(static_cast<unsigned char*>(to.values) + target * row_bytes + piece, value);
    if (piece == 0 && from.positions != nullptr && to.positions != nullptr) to.positions[target] = from.positions[source];
  }
}

/** Grid: heads. */
__global__ void __launch_bounds__(256) set_lengths(const KvView from, const KvView to, const std::int32_t* __restrict__ offsets) {
  const unsigned head = blockIdx.x * blockDim.x + threadIdx.x;
  if (head < to.kv_heads) to.lengths[head] = kept_of(from, offsets, head);
}

constexpr int compact_threads = 256;
constexpr int compact_slice = 64;  // bytes of a row that one block moves
constexpr int compact_ahead = 4;

/**
 * Compaction in place. Kept indices ascend, so entry j never lies before slot j: a block that reads a run of entries before it writes the run's slots,
 * and takes the runs in order, overwrites nothing that it still needs. Blocks share nothing: each has its own head and its own bytes of the rows.
 * Grid: slices of keys, slices of values and one for the positions; heads.
 */
__global__ void __launch_bounds__(compact_threads) compact_rows(const KvView view, const std::int32_t* __restrict__ indices,
                                                                const std::int32_t* __restrict__ offsets, int row_bytes) {
  const unsigned head = blockIdx.y;
  const int count = offsets[head + 1] - offsets[head];
  const std::int32_t* own = indices + offsets[head];
  const int slices = (row_bytes + compact_slice - 1) / compact_slice;
  const int slice = static_cast<int>(blockIdx.x);
  if (slice == 2 * slices) {
    for (int base = 0; base < count; base += compact_threads) {
      const int entry = base + static_cast<int>(threadIdx.x);
      std::int32_t position = 0;
      if (entry < count) position = view.positions[row_of(view, head, static_cast<unsigned>(own[entry]))];
      sync_block();
      if (entry < count) view.positions[row_of(view, head, static_cast<unsigned>(entry))] = position;
      sync_block();
    }
    return;
  }
  constexpr int pieces = compact_slice / 16;
  constexpr int run = compact_threads / pieces;
  auto* data = static_cast<unsigned char*>(slice < slices ? view.keys : view.values);
  const int byte = slice % slices * compact_slice + static_cast<int>(threadIdx.x) % pieces * 16;
  for (int base = 0; base < count; base += run * compact_ahead) {
    Vector16 held[compact_ahead];
#pragma unroll
    for (int i = 0; i < compact_ahead; i++) {
      const int entry = base + i * run + static_cast<int>(threadIdx.x) / pieces;
      if (entry < count && byte < row_bytes) held[i] = load16(data + row_of(view, head, static_cast<unsigned>(own[entry])) * row_bytes + byte);
    }
    sync_block();
#pragma unroll
    for (int i = 0; i < compact_ahead; i++) {
      const int entry = base + i * run + static_cast<int>(threadIdx.x) / pieces;
      if (entry < count && byte < row_bytes) store16(data + row_of(view, head, static_cast<unsigned>(entry)) * row_bytes + byte, held[i]);
    }
    sync_block();
  }
}

/** Values of a uniform view as f32 [kv_heads, n, head_dim], or back. */
template <class Element, bool back>
__global__ void __launch_bounds__(256) copy_uniform(const KvView view, bool keys, std::size_t n, float* __restrict__ x) {
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= view.kv_heads * n * view.head_dim) return;
  const auto head = static_cast<unsigned>(at / (n * view.head_dim));
  const auto slot = static_cast<unsigned>(at / view.head_dim % n);
  Element* element = static_cast<Element*>(keys ? view.keys : view.values) + row_of(view, head, slot) * view.head_dim + at % view.head_dim;
  if constexpr (back) {
    *element = Element::round(x[at]);
  } else {
    x[at] = element->widen();
  }
}

}  // namespace kvsift::KVSIFT_TARGET

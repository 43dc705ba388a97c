#include "launch/kv.h"

#include <algorithm>

#include "kernels/kv.cuh"
#include "kernels/kv_blocks.cuh"
#include "launch/attention.h"
#include "launch/guard.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

int row_bytes(const KvView& view) {
  if (view.type == KVSIFT_CUDA_Q8_0) return static_cast<int>(q8_row_bytes(static_cast<std::int64_t>(view.head_dim)));
  return static_cast<int>(view.head_dim * (view.type == KVSIFT_CUDA_F32 ? 4 : 2));
}

void check_selection(const Launch& launch, const kvsift_cuda_slot_selection& selection) {
  launch.pointer(selection.offsets, "offsets", 4);
  if (selection.max_per_head > 0) launch.pointer(selection.indices, "indices", 4);
}

template <class Element>
void start_append(const Launch& launch, const AppendArguments& a, std::size_t elements, std::size_t heads, unsigned count) {
  if (elements <= few_elements) return launch.start_early(append_few<Element>, Grid{1, count, 1}, 1024, 0, a);
  launch.start_early(append_rows<Element>, Grid{blocks_for(launch, elements, 256), count, 1}, 256, 0, a);
  launch.start_early(append_lengths, Grid{blocks_for(launch, heads, 256), count, 1}, 256, 0, a);
}

void start_append_blocks(const Launch& launch, const AppendArguments& a, std::size_t elements, std::size_t heads, unsigned count) {
  launch.start_early(append_blocks, Grid{blocks_for(launch, elements / q8_values, block_warps), count, 1}, block_warps * 32, 0, a);
  launch.start_early(append_lengths, Grid{blocks_for(launch, heads, 256), count, 1}, 256, 0, a);
}

template <class Element>
void start_copy(const Launch& launch, const KvView& view, bool keys, std::size_t first, std::size_t n, float* x, bool back) {
  const Grid grid{blocks_for(launch, view.kv_heads * n * view.head_dim, 256), 1, 1};
  launch.check(back ? start_kernel(copy_uniform<Element, true>, grid, 256, 0, launch.stream, view, keys, first, n, x)
                    : start_kernel(copy_uniform<Element, false>, grid, 256, 0, launch.stream, view, keys, first, n, x));
}

}  // namespace

void kv_append(const Launch& launch, std::span<const kvsift_cuda_kv_segment> segments, const float* k, const float* v, const std::int32_t* positions) {
  std::int64_t packed = 0;
  for (const auto& segment : segments) {
    check_view(launch, segment.view, "view");
    launch.require(segment.view.type == segments.front().view.type, KVSIFT_CUDA_DTYPE_MISMATCH, "the views of a batch differ in dtype");
    launch.require(segment.view.positions == nullptr || positions != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "a view keeps positions, but none are given");
  }
  for (std::size_t first = 0; first < segments.size(); first += append_segments) {
    const std::size_t count = std::min<std::size_t>(append_segments, segments.size() - first);
    AppendArguments a{};
    std::size_t elements = 0;
    std::size_t heads = 0;
    for (std::size_t i = 0; i < count; i++) {
      const auto& segment = segments[first + i];
      a.segments[i] = segment;
      a.packed[i] = packed;
      packed += static_cast<std::int64_t>(segment.rows);
      elements = std::max(elements, segment.rows * segment.view.kv_heads * segment.view.head_dim);
      heads = std::max(heads, segment.view.kv_heads);
    }
    a.k = k;
    a.v = v;
    a.positions = positions;
    a.faults = launch.context.faults;
    if (elements == 0) continue;
    launch.pointer(k, "k", 4);
    launch.pointer(v, "v", 4);
    switch (segments.front().view.type) {
      case KVSIFT_CUDA_F32: start_append<F32>(launch, a, elements, heads, static_cast<unsigned>(count)); break;
      case KVSIFT_CUDA_Q8_0: start_append_blocks(launch, a, elements, heads, static_cast<unsigned>(count)); break;
      case KVSIFT_CUDA_F16: start_append<F16>(launch, a, elements, heads, static_cast<unsigned>(count)); break;
      default: start_append<BF16>(launch, a, elements, heads, static_cast<unsigned>(count)); break;
    }
  }
}

void kv_gather(const Launch& launch, const KvView& from, const kvsift_cuda_slot_selection* selection, const KvView& to) {
  check_view(launch, from, "from");
  check_view(launch, to, "to");
  launch.require(from.kv_heads == to.kv_heads && from.head_dim == to.head_dim, KVSIFT_CUDA_SHAPE_MISMATCH, "the views differ in heads or head dim");
  launch.require(from.type == to.type, KVSIFT_CUDA_DTYPE_MISMATCH, "the views differ in dtype");
  launch.require(from.keys != to.keys && from.values != to.values, KVSIFT_CUDA_INVALID_ARGUMENT, "the views share memory: use kv_compact");
  if (selection != nullptr) check_selection(launch, *selection);
  const std::int32_t* indices = selection != nullptr ? selection->indices : nullptr;
  const std::int32_t* offsets = selection != nullptr ? selection->offsets : nullptr;
  const std::size_t most = selection != nullptr ? selection->max_per_head : from.max_length;
  const int bytes = row_bytes(from);
  const Scratch lengths(launch, guard_bytes({&from, 1}));
  const Scratch kept(launch, from.kv_heads * sizeof(std::int32_t));
  KvView source = from;
  guard(launch, {&source, 1}, -1, lengths.as<std::int32_t>());
  guard_selection(launch, source, selection, to, kept.as<std::int32_t>());
  const auto start = [&](auto kernel, std::size_t unit) {
    const std::size_t count = most * (static_cast<std::size_t>(bytes) / unit);
    launch.require(count <= 0x7fffffff, KVSIFT_CUDA_UNSUPPORTED, "a head has too many entries for one launch");
    const auto blocks = static_cast<unsigned>(std::min<std::size_t>(ceil_div(count, 256), 4096));
    launch.check(start_kernel(kernel, Grid{blocks, static_cast<unsigned>(from.kv_heads), 1}, 256, 0, launch.stream, source, to, indices, offsets,
                              kept.as<std::int32_t>(), bytes, launch.context.faults));
  };
  if (most > 0) bytes % 16 == 0 ? start(gather_rows<Vector16>, 16) : bytes % 4 == 0 ? start(gather_rows<std::uint32_t>, 4) : start(gather_rows<std::uint16_t>, 2);
  launch.check(start_kernel(set_lengths, Grid{blocks_for(launch, to.kv_heads, 256), 1, 1}, 256, 0, launch.stream, to, kept.as<std::int32_t>()));
}

void kv_compact(const Launch& launch, const KvView& view, const kvsift_cuda_slot_selection& selection) {
  check_view(launch, view, "view");
  check_selection(launch, selection);
  const int bytes = row_bytes(view);
  const Scratch lengths(launch, guard_bytes({&view, 1}));
  const Scratch kept(launch, view.kv_heads * sizeof(std::int32_t));
  KvView source = view;
  guard(launch, {&source, 1}, -1, lengths.as<std::int32_t>());
  guard_selection(launch, source, &selection, view, kept.as<std::int32_t>());
  const auto slices = static_cast<unsigned>(ceil_div(static_cast<std::size_t>(bytes), compact_slice));
  const Grid grid{2 * slices + (view.positions != nullptr ? 1 : 0), static_cast<unsigned>(view.kv_heads), 1};
  const auto start = [&](auto kernel) {
    launch.check(start_kernel(kernel, grid, compact_threads, 0, launch.stream, source, selection.indices, selection.offsets, kept.as<std::int32_t>(), bytes,
                              launch.context.faults));
  };
  bytes % 16 == 0 ? start(compact_rows<Vector16>) : bytes % 4 == 0 ? start(compact_rows<std::uint32_t>) : start(compact_rows<std::uint16_t>);
  launch.check(start_kernel(set_lengths, Grid{blocks_for(launch, view.kv_heads, 256), 1, 1}, 256, 0, launch.stream, view, kept.as<std::int32_t>()));
}

void kv_copy(const Launch& launch, const KvView& view, kvsift_cuda_kv_part part, std::size_t first, std::size_t n, float* x, bool back) {
  check_view(launch, view, "view");
  launch.require(first <= view.max_length && n <= view.max_length - first, KVSIFT_CUDA_SHAPE_MISMATCH, "the view holds fewer entries");
  if (n == 0) return;
  launch.pointer(x, "x", 4);
  const bool keys = part == KVSIFT_CUDA_KEYS;
  const Scratch lengths(launch, guard_bytes({&view, 1}));
  KvView trusted = view;
  guard(launch, {&trusted, 1}, static_cast<int>(back ? n : view.max_length), lengths.as<std::int32_t>());
  switch (view.type) {
    case KVSIFT_CUDA_Q8_0: {
      if (!back) {
        const Grid grid{blocks_for(launch, view.kv_heads * n * view.head_dim, 256), 1, 1};
        return launch.check(start_kernel(copy_uniform<Q8, false>, grid, 256, 0, launch.stream, trusted, keys, first, n, x));
      }
      const Grid grid{blocks_for(launch, view.kv_heads * n * view.head_dim / q8_values, block_warps), 1, 1};
      return launch.check(start_kernel(replace_blocks, grid, block_warps * 32, 0, launch.stream, trusted, keys, n, static_cast<const float*>(x)));
    }
    case KVSIFT_CUDA_F32: return start_copy<F32>(launch, trusted, keys, first, n, x, back);
    case KVSIFT_CUDA_F16: return start_copy<F16>(launch, trusted, keys, first, n, x, back);
    default: return start_copy<BF16>(launch, trusted, keys, first, n, x, back);
  }
}

}  // namespace kvsift::KVSIFT_TARGET

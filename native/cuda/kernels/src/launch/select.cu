#include "launch/select.h"

#include <algorithm>

#include "kernels/select_wide.cuh"

namespace kvsift::KVSIFT_TARGET {

namespace {
constexpr std::size_t largest = 0x7fffffff - 4096;

/** Entries of a head from which on many blocks select. */
constexpr std::size_t wide_length = 2048;

/** Cuts heads into slices for blocks of their own, and holds what these blocks tell each other. */
class WideSelection {
 public:
  WideSelection(const Launch& launch, std::size_t groups, std::size_t heads, std::size_t length)
      : launch_(launch),
        slice_(slice_of(launch, heads, length)),
        slices_(static_cast<unsigned>(ceil_div(length, slice_))),
        bins_(launch, groups * select_passes * select_bins * sizeof(std::uint32_t)),
        states_(launch, groups * select_passes * sizeof(SelectState)),
        tallies_(launch, heads * slices_ * sizeof(Count)) {
    fill_bytes(launch, bins_.as<void>(), 0, groups * select_passes * select_bins * sizeof(std::uint32_t));
  }

  /** Finds the last key of each of `groups` that is kept among `length` entries. */
  template <class Keys>
  void search(const Keys& keys, const KeptCount& kept, std::size_t groups, std::size_t length) const {
    const std::size_t slice = slice_of(launch_, groups, length);
    const Grid grid{static_cast<unsigned>(ceil_div(length, slice)), static_cast<unsigned>(groups), 1};
    for (int pass = 0; pass < select_passes; pass++) {
      launch_.check(start_kernel(select_histogram<Keys>, grid, wide_select_threads, 0, launch_.stream, keys, kept, static_cast<int>(length),
                                 static_cast<int>(slice), pass, bins_.as<std::uint32_t>(), states()));
    }
  }
  /** Counts what each slice of each head holds. `total_length`: entries of a group. */
  template <class Keys>
  void tally(const Keys& keys, const KeptCount& kept, bool shared, std::size_t heads, std::size_t length, std::size_t total_length) const {
    launch_.check(start_kernel(select_tally<Keys>, grid(heads), wide_select_threads, 0, launch_.stream, keys, kept, shared, static_cast<int>(length),
                               static_cast<int>(total_length), slice(), bins_.as<std::uint32_t>(), states(), tallies()));
  }

  Grid grid(std::size_t heads) const { return {slices_, static_cast<unsigned>(heads), 1}; }
  int slice() const { return static_cast<int>(slice_); }
  unsigned slices() const { return slices_; }
  SelectState* states() const { return states_.as<SelectState>(); }
  Count* tallies() const { return tallies_.as<Count>(); }

 private:
  /** A multiple of the block, such that the device is full twice. */
  static std::size_t slice_of(const Launch& launch, std::size_t heads, std::size_t length) {
    const std::size_t blocks = std::max<std::size_t>(1, 2 * static_cast<std::size_t>(launch.context.multiprocessors) / heads);
    return ceil_div(ceil_div(length, blocks), wide_select_threads) * wide_select_threads;
  }

  const Launch& launch_;
  std::size_t slice_;
  unsigned slices_;
  const Scratch bins_;
  const Scratch states_;
  const Scratch tallies_;
};

}  // namespace

void top(const Launch& launch, const kvsift_cuda_top_arguments& a, std::int32_t* indices, std::int32_t* offsets) {
  launch.pointer(offsets, "offsets", 4);
  launch.require(a.heads > 0 && a.heads <= largest && a.length <= largest && a.total <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many entries");
  launch.require(a.protect_first + a.protect_last <= a.length, KVSIFT_CUDA_INVALID_ARGUMENT, "more protected entries than entries");
  launch.require(a.max <= a.length, KVSIFT_CUDA_INVALID_ARGUMENT, "a head cannot keep more entries than it has");
  if (a.counts == nullptr) {
    launch.require(a.keep <= a.max && a.keep * a.heads == a.total, KVSIFT_CUDA_INVALID_ARGUMENT,
                   std::to_string(a.keep) + " entries of " + std::to_string(a.heads) + " heads are not " + std::to_string(a.total));
    launch.require(a.protect_first + a.protect_last <= a.keep, KVSIFT_CUDA_INVALID_ARGUMENT, "more protected entries than entries to keep");
  }
  if (a.length > 0) launch.pointer(a.scores, "scores", 4);
  if (a.total > 0) {
    launch.pointer(indices, "indices", 4);
    fill_bytes(launch, indices, 0, a.total * sizeof(std::int32_t));
  }
  launch.check(start_kernel(top_offsets, Grid{1, 1, 1}, 256, 0, launch.stream, a, offsets, launch.context.faults));
  if (a.length > wide_length && a.heads <= 65535) {
    const WideSelection wide(launch, a.heads, a.heads, a.length);
    const TopKeys keys{a};
    const KeptCount kept{offsets, 0};
    wide.search(keys, kept, a.heads, a.length);
    wide.tally(keys, kept, false, a.heads, a.length, a.length);
    launch.check(start_kernel(select_write, wide.grid(a.heads), wide_select_threads, 0, launch.stream, keys, offsets, static_cast<int>(a.length), wide.slice(),
                              wide.states(), wide.tallies(), indices, launch.context.faults));
    return;
  }
  launch.check(start_kernel(top_head, Grid{static_cast<unsigned>(a.heads), 1, 1}, top_threads, 0, launch.stream, a, offsets, indices, launch.context.faults));
}

void top_shares(const Launch& launch, const float* scores, std::size_t heads, std::size_t length, std::size_t total, std::int32_t* out) {
  launch.pointer(out, "out", 4);
  launch.require(heads <= largest && heads * length <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many scores");
  launch.require(total <= heads * length, KVSIFT_CUDA_INVALID_ARGUMENT, "more entries to keep than there are");
  if (total > 0) launch.pointer(scores, "scores", 4);
  if (total > 0 && heads * length > wide_length && heads <= 65535) {
    const WideSelection wide(launch, 1, heads, length);
    const KeptCount kept{nullptr, static_cast<std::uint32_t>(total)};
    wide.search(ShareKeys{scores, heads * length}, kept, 1, heads * length);
    wide.tally(ShareKeys{scores, length}, kept, true, heads, length, heads * length);
    launch.check(start_kernel(select_shares, Grid{1, 1, 1}, 256, 0, launch.stream, wide.tallies(), wide.slices(), static_cast<unsigned>(heads),
                              static_cast<long long>(total), static_cast<int>(heads * length), wide.states(), out));
    return;
  }
  launch.check(start_kernel(share_counts, Grid{1, 1, 1}, 1024, 0, launch.stream, scores, static_cast<int>(heads), static_cast<int>(length),
                            static_cast<long long>(total), out));
}

void round_shares(const Launch& launch, const float* shares, std::size_t count, std::size_t total, std::size_t cap, std::int32_t* out) {
  launch.require(count <= 65536 && cap <= largest && total <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many shares");
  launch.require(total <= count * cap, KVSIFT_CUDA_INVALID_ARGUMENT, "the cap leaves no room for the total");
  if (count == 0) return;
  launch.pointer(shares, "shares", 4);
  launch.pointer(out, "out", 4);
  const Scratch rests(launch, count * sizeof(double));
  const Scratch order(launch, count * sizeof(int));
  launch.check(start_kernel(round_all_shares, Grid{1, 1, 1}, 256, 0, launch.stream, shares, static_cast<int>(count), static_cast<long long>(total),
                            static_cast<int>(cap), order.as<int>(), rests.as<double>(), out));
}

void uniform(const Launch& launch, const kvsift_cuda_random_key& key, std::size_t rows, std::size_t columns, float* out) {
  if (rows * columns == 0) return;
  launch.pointer(out, "out", 4);
  launch.check(start_kernel(uniform_rows, Grid{blocks_for(launch, rows * ceil_div(columns, 4), 256), 1, 1}, 256, 0, launch.stream, key, rows, columns, out));
}

void pool(const Launch& launch, kvsift_cuda_pool_kind kind, const float* x, std::size_t rows, std::size_t columns, std::size_t kernel_size, float* out) {
  launch.require(kernel_size % 2 == 1 && kernel_size <= largest, KVSIFT_CUDA_INVALID_ARGUMENT, "the kernel size must be odd");
  launch.require(rows <= largest && columns <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many rows or columns");
  if (rows * columns == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(out, "out", 4);
  const Grid grid{blocks_for(launch, columns, 256), static_cast<unsigned>(std::min<std::size_t>(rows, 65535)), 1};
  launch.check(start_kernel(pool_rows, grid, 256, 0, launch.stream, x, static_cast<int>(rows), static_cast<int>(columns),
                            static_cast<int>(kernel_size / 2), kind == KVSIFT_CUDA_POOL_MAX, out));
}

}  // namespace kvsift::KVSIFT_TARGET

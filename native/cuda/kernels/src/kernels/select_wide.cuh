#pragma once

#include "kernels/select.cuh"

// Selection among many entries: the radix select of descend.cuh with many blocks for each head. A histogram of 11, 11 and 10 bits of the order keys, each
// among the entries that the ones before have left over; then each block counts what it will keep, and puts it behind what the blocks before it keep.
// Between two kernels everything is on the device, so nothing waits for the host.
namespace kvsift::KVSIFT_TARGET {

constexpr unsigned wide_select_threads = 512;
constexpr int select_passes = 3;
constexpr int select_bins = 2048;

KVSIFT_BOTH int select_shift(int pass) { return pass == 0 ? 21 : pass == 1 ? 10 : 0; }
KVSIFT_BOTH unsigned select_bin(std::uint32_t key, int pass) { return key >> select_shift(pass) & (pass == 2 ? 1023u : 2047u); }
/** The bits that the passes before `pass` have looked at. */
KVSIFT_BOTH std::uint32_t select_mask(int pass) { return pass == 0 ? 0u : ~0u << select_shift(pass - 1); }

/** Order keys of `top`. */
struct TopKeys {
  TopArguments a;
  __device__ std::uint32_t operator()(unsigned head, int index) const { return top_key(a, head, static_cast<std::size_t>(index)); }
};

/** Order keys of `top_shares`. */
struct ShareKeys {
  const float* scores;
  std::size_t length;
  __device__ std::uint32_t operator()(unsigned head, int index) const { return descending(scores[head * length + static_cast<std::size_t>(index)]); }
};

/** How many entries a head keeps: from offsets, or the same number for the only one. */
struct KeptCount {
  const std::int32_t* offsets;
  std::uint32_t count;
  __device__ std::uint32_t operator()(unsigned head) const {
    return offsets == nullptr ? count : static_cast<std::uint32_t>(offsets[head + 1] - offsets[head]);
  }
};

/** What the passes so far have found: the upper bits of the last key that is kept, and the entries before all with these bits. */
using SelectState = Crossing;

struct SelectRoom {
  std::uint32_t sums[33];
  SelectState found;
};

/** The state after pass `pass`, whose histogram is complete. Called by the whole block; `count` is at least 1. */
__device__ inline SelectState after_pass(const std::uint32_t* bins, SelectState state, int pass, std::uint32_t count, SelectRoom& room) {
  constexpr unsigned own = select_bins / wide_select_threads;
  std::uint32_t values[own];
  std::uint32_t sum = 0;
#pragma unroll
  for (unsigned i = 0; i < own; i++) {
    values[i] = bins[threadIdx.x * own + i];
    sum += values[i];
  }
  std::uint32_t total;
  std::uint32_t before = static_cast<std::uint32_t>(state.before) + block_sum_before(sum, room.sums, total);
  const std::uint32_t target = count - 1;
  if (before <= target && target < before + sum) {
    unsigned i = 0;
    std::uint32_t value = values[0];
#pragma unroll
    for (unsigned next = 1; next < own; next++) {
      if (i + 1 == next && before + value <= target) {
        before += value;
        value = values[next];
        i = next;
      }
    }
    room.found = {state.key | (threadIdx.x * own + i) << select_shift(pass), before};
  }
  sync_block();
  const SelectState found = room.found;
  sync_block();
  return found;
}

/** The state after `passes` passes; the first block of a head leaves it to the kernels that follow. */
__device__ inline SelectState state_after(int passes, const std::uint32_t* bins, SelectState* states, std::uint32_t count, SelectRoom& room) {
  if (passes == 0) return {0, 0};
  const SelectState before = passes == 1 ? SelectState{0, 0} : states[passes - 2];
  const SelectState state = after_pass(bins + (passes - 1) * select_bins, before, passes - 1, count, room);
  if (blockIdx.x == 0 && threadIdx.x == 0) states[passes - 1] = state;
  return state;
}

/** Histogram of pass `pass`. `bins` [heads, passes, 2048] are 0 before. Grid: slices, heads. */
template <class Keys>
__global__ void __launch_bounds__(wide_select_threads) select_histogram(const Keys keys, const KeptCount kept, int length, int slice, int pass,
                                                                       std::uint32_t* __restrict__ bins, SelectState* __restrict__ states) {
  __shared__ SelectRoom room;
  __shared__ std::uint32_t counts[select_bins];
  const unsigned head = blockIdx.y;
  const std::uint32_t count = kept(head);
  if (count == 0 || count == static_cast<std::uint32_t>(length)) return;
  std::uint32_t* own = bins + static_cast<std::size_t>(head) * select_passes * select_bins;
  const SelectState state = state_after(pass, own, states + head * select_passes, count, room);
  for (unsigned bin = threadIdx.x; bin < select_bins; bin += blockDim.x) counts[bin] = 0;
  sync_block();
  const std::uint32_t mask = select_mask(pass);
  const int first = static_cast<int>(blockIdx.x) * slice;
  for (int base = first; base < first + slice; base += static_cast<int>(blockDim.x)) {
    const int at = base + static_cast<int>(threadIdx.x);
    const std::uint32_t key = at < length ? keys(head, at) : 0;
    const bool taken = at < length && (key & mask) == state.key;
    const unsigned bin = taken ? select_bin(key, pass) : select_bins;
    // Neighbours often fall into one bin: then one addition serves the warp.
    if (all_lanes(bin == shuffle(bin, 0))) {
      if (threadIdx.x % 32 == 0 && taken) atomic_add(&counts[bin], 32u);
    } else if (taken) {
      atomic_add(&counts[bin], 1u);
    }
  }
  sync_block();
  for (unsigned bin = threadIdx.x; bin < select_bins; bin += blockDim.x) {
    if (counts[bin] > 0) atomic_add(&own[pass * select_bins + bin], counts[bin]);
  }
}

/** What each slice of a head holds. `shared`: all heads go by one state, that of head 0. Grid: slices, heads. */
template <class Keys>
__global__ void __launch_bounds__(wide_select_threads) select_tally(const Keys keys, const KeptCount kept, bool shared, int length, int total_length, int slice,
                                                                   const std::uint32_t* __restrict__ bins, SelectState* __restrict__ states,
                                                                   Count* __restrict__ tallies) {
  __shared__ SelectRoom room;
  __shared__ Count sums[33];
  const unsigned head = blockIdx.y;
  const unsigned group = shared ? 0 : head;
  const std::uint32_t count = kept(group);
  if (count == static_cast<std::uint32_t>(total_length)) return;
  SelectState state{0, 0};
  if (count > 0) {
    const std::uint32_t* own = bins + static_cast<std::size_t>(group) * select_passes * select_bins;
    const SelectState before = states[group * select_passes + select_passes - 2];
    state = after_pass(own + (select_passes - 1) * select_bins, before, select_passes - 1, count, room);
    if (blockIdx.x == 0 && threadIdx.x == 0 && head == group) states[group * select_passes + select_passes - 1] = state;
  }
  const int first = static_cast<int>(blockIdx.x) * slice;
  Count sum = 0;
  for (int at = first + static_cast<int>(threadIdx.x); at < first + slice && at < length; at += static_cast<int>(blockDim.x)) {
    sum += better_and_equal(keys(head, at), state.key);
  }
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) tallies[head * gridDim.x + blockIdx.x] = sum;
}

/** Kept indices, ascending. Grid: slices, heads. */
__global__ void __launch_bounds__(wide_select_threads) select_write(const TopKeys keys, const std::int32_t* __restrict__ offsets, int length, int slice,
                                                                   const SelectState* __restrict__ states, const Count* __restrict__ tallies,
                                                                   std::int32_t* __restrict__ indices, std::int32_t* __restrict__ faults) {
  __shared__ Count sums[33];
  const unsigned head = blockIdx.y;
  const int count = offsets[head + 1] - offsets[head];
  std::int32_t* out = indices + offsets[head];
  const int first = static_cast<int>(blockIdx.x) * slice;
  if (count == length) {
    for (int at = first + static_cast<int>(threadIdx.x); at < first + slice && at < length; at += static_cast<int>(blockDim.x)) out[at] = at;
    return;
  }
  const SelectState last = count > 0 ? states[head * select_passes + select_passes - 1] : SelectState{0, 0};
  Count before = 0;
  Count all = 0;
  for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x) {
    const Count own = tallies[head * gridDim.x + block];
    before += block < blockIdx.x ? own : 0;
    all += own;
  }
  before = block_sum(before, sums);
  all = block_sum(all, sums);
  if (blockIdx.x == 0 && threadIdx.x == 0) check_protected(last, all, count, faults);
  const int end = first + slice < length ? first + slice : length;
  write_kept(first, end, [&](int at) { return keys(head, at); }, last, static_cast<Count>(count) - last.before, before, sums, out);
}

/** Entries that each head keeps of those that all keep together, from the tallies. One block. */
__global__ void __launch_bounds__(256) select_shares(const Count* __restrict__ tallies, unsigned slices, unsigned heads, long long total, int all,
                                                     const SelectState* __restrict__ states, std::int32_t* __restrict__ out) {
  __shared__ Count sums[33];
  const SelectState last = states[select_passes - 1];
  Count ties = static_cast<Count>(total) - last.before;
  for (unsigned head = 0; head < heads; head++) {
    if (total == all) {
      if (threadIdx.x == 0) out[head] = all / static_cast<int>(heads);
      continue;
    }
    Count own = 0;
    for (unsigned slice = threadIdx.x; slice < slices; slice += blockDim.x) own += tallies[head * slices + slice];
    own = block_sum(own, sums);
    if (threadIdx.x == 0) out[head] = static_cast<std::int32_t>(kept_of(own, ties));
    ties -= own >> 32 < ties ? own >> 32 : ties;
  }
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "kernels/descend.cuh"
#include "kvsift_cuda.h"
#include "math/shares.h"

namespace kvsift::KVSIFT_TARGET {

using TopArguments = kvsift_cuda_top_arguments;

constexpr unsigned top_threads = 512;

/** Order key of an entry: 0 where it must stay, then falling scores. */
KVSIFT_BOTH std::uint32_t top_key(const TopArguments& a, std::size_t head, std::size_t index) {
  const bool stays =
      index < a.protect_first || index >= a.length - a.protect_last || (a.protect != nullptr && a.protect[head * a.length + index] != 0);
  return stays ? 0 : descending(a.scores[head * a.length + index]);
}

/** offsets [heads + 1] from the counts. Counts that do not fit are cut to what the memory holds, and set a fault. One block. */
__global__ void __launch_bounds__(256) top_offsets(const TopArguments a, std::int32_t* __restrict__ offsets, std::int32_t* __restrict__ faults) {
  __shared__ long long room[33];
  long long before = 0;
  bool fits = true;
  const auto heads = static_cast<unsigned>(a.heads);
  for (unsigned base = 0; base < heads; base += blockDim.x) {
    const unsigned head = base + threadIdx.x;
    long long count = 0;
    if (head < heads) {
      count = a.counts == nullptr ? static_cast<long long>(a.keep) : a.counts[head];
      const long long cut = count < 0 ? 0 : count > static_cast<long long>(a.length) ? static_cast<long long>(a.length) : count;
      fits = fits && cut == count && count <= static_cast<long long>(a.max);
      count = cut;
    }
    long long sum;
    const long long at = before + block_sum_before(count, room, sum);
    if (head < heads) offsets[head] = static_cast<std::int32_t>(at < static_cast<long long>(a.total) ? at : static_cast<long long>(a.total));
    before += sum;
  }
  if (threadIdx.x == 0) offsets[heads] = static_cast<std::int32_t>(before < static_cast<long long>(a.total) ? before : static_cast<long long>(a.total));
  if (!fits || before != static_cast<long long>(a.total)) atomic_or(faults, KVSIFT_CUDA_FAULT_TOP_COUNTS);
}

/** Entries before the last key in the low half, entries of the same key in the high half. */
KVSIFT_BOTH Count better_and_equal(std::uint32_t key, std::uint32_t last) { return Count{key < last} | Count{key == last} << 32; }

/** Of the two, how many entries are kept where `ties` of the last key are. */
KVSIFT_BOTH Count kept_of(Count both, Count ties) {
  const Count equal = both >> 32;
  return (both & 0xffffffffu) + (equal < ties ? equal : ties);
}

/**
 * Puts the entries from `first` to `end` of a head that are kept behind those before them, ascending. Called by the whole block.
 * @param before both counts of the entries before `first`  @returns those of the entries before `end`
 */
template <class Key>
__device__ inline Count write_kept(int first, int end, Key&& key_of, const Crossing& last, Count ties, Count before, Count* sums, std::int32_t* out) {
  for (int base = first; base < end; base += static_cast<int>(blockDim.x)) {
    const int at = base + static_cast<int>(threadIdx.x);
    const Count own = at < end ? better_and_equal(key_of(at), last.key) : 0;
    Count total;
    const Count here = before + block_sum_before(own, sums, total);
    before += total;
    const Count to = kept_of(here, ties);
    if (kept_of(here + own, ties) > to) out[to] = at;
  }
  return before;
}

/** Key 0 is that of the entries that must stay: a fault where a head keeps fewer than these. `all`: both counts of its entries. */
__device__ inline void check_protected(const Crossing& last, Count all, int count, std::int32_t* faults) {
  if (last.key == 0 && all >> 32 > static_cast<Count>(count)) atomic_or(faults, KVSIFT_CUDA_FAULT_TOP_PROTECTED);
}

/** Kept indices of one head, ascending: one block per head. */
__global__ void __launch_bounds__(top_threads) top_head(const TopArguments a, const std::int32_t* __restrict__ offsets, std::int32_t* __restrict__ indices,
                                                        std::int32_t* __restrict__ faults) {
  __shared__ DescendRoom room;
  __shared__ Count sums[33];
  const std::size_t head = blockIdx.x;
  const int length = static_cast<int>(a.length);
  const int count = offsets[head + 1] - offsets[head];
  std::int32_t* out = indices + offsets[head];
  if (count == length) {
    for (int i = static_cast<int>(threadIdx.x); i < length; i += static_cast<int>(blockDim.x)) out[i] = i;
    return;
  }
  const auto key_of = [&](int i) { return top_key(a, head, static_cast<std::size_t>(i)); };
  Crossing last{0, 0};
  if (count > 0) last = descend(length, static_cast<Count>(count - 1), room, key_of, [](int) { return Count{1}; });
  const Count all = write_kept(0, length, key_of, last, static_cast<Count>(count) - last.before, 0, sums, out);
  if (threadIdx.x == 0) check_protected(last, all, count, faults);
}

/** One block. */
__global__ void __launch_bounds__(1024) share_counts(const float* __restrict__ scores, int heads, int length, long long total,
                                                     std::int32_t* __restrict__ out) {
  __shared__ DescendRoom room;
  __shared__ Count sums[33];
  if (total == 0) {
    for (int head = static_cast<int>(threadIdx.x); head < heads; head += static_cast<int>(blockDim.x)) out[head] = 0;
    return;
  }
  const Crossing last = descend(heads * length, static_cast<Count>(total - 1), room, [&](int i) { return descending(scores[i]); },
                                [](int) { return Count{1}; });
  Count ties = static_cast<Count>(total) - last.before;
  for (int head = 0; head < heads; head++) {
    Count own = 0;
    for (int i = static_cast<int>(threadIdx.x); i < length; i += static_cast<int>(blockDim.x)) {
      own += better_and_equal(descending(scores[static_cast<std::size_t>(head) * length + i]), last.key);
    }
    own = block_sum(own, sums);
    if (threadIdx.x == 0) out[head] = static_cast<std::int32_t>(kept_of(own, ties));
    ties -= own >> 32 < ties ? own >> 32 : ties;
  }
}

/** One block; `order` and `rests` have room for `count` each. */
__global__ void __launch_bounds__(256) round_all_shares(const float* __restrict__ shares, int count, long long total, int cap, int* __restrict__ order,
                                                        double* __restrict__ rests, std::int32_t* __restrict__ out) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    out[i] = whole_share(shares[i], cap);
    rests[i] = clean_share(shares[i]) - out[i];
  }
  sync_block();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    int place = 0;
    for (int j = 0; j < count; j++) place += j != i && share_before(rests[j], j, rests[i], i) ? 1 : 0;
    order[place] = i;
  }
  sync_block();
  if (threadIdx.x == 0) settle_shares(order, count, total, cap, out);
}

__global__ void __launch_bounds__(256) uniform_rows(const kvsift_cuda_random_key key, std::size_t rows, std::size_t columns, float* __restrict__ out) {
  const std::size_t blocks = (columns + 3) / 4;
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= rows * blocks) return;
  const std::size_t row = at / blocks;
  const std::size_t block = at % blocks;
  std::uint32_t words[4] = {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(row), key.layer, key.purpose};
  philox(words, key.seed, key.sequence);
  for (std::size_t i = 0; i < 4 && block * 4 + i < columns; i++) out[row * columns + block * 4 + i] = uniform_of(words[i]);
}

/** Grid: columns, rows. */
__global__ void __launch_bounds__(256) pool_rows(const float* __restrict__ x, int rows, int columns, int reach, bool maximum, float* __restrict__ out) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= columns) return;
  const int first = column - reach < 0 ? 0 : column - reach;
  const int last = column > columns - 1 - reach ? columns - 1 : column + reach;
  for (int row = static_cast<int>(blockIdx.y); row < rows; row += static_cast<int>(gridDim.y)) {
    const float* from = x + static_cast<std::size_t>(row) * columns;
    float best = lowest;
    double sum = 0;
    for (int i = first; i <= last; i++) {
      if (from[i] > best || from[i] != from[i]) best = from[i];
      sum += from[i];
    }
    out[static_cast<std::size_t>(row) * columns + column] = maximum ? best : static_cast<float>(sum / (2 * reach + 1));
  }
}

}  // namespace kvsift::KVSIFT_TARGET

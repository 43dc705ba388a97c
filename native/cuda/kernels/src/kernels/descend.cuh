#pragma once

#include "kernels/warp.cuh"

namespace kvsift::KVSIFT_TARGET {

using Count = unsigned long long;

struct Crossing {
  std::uint32_t key;
  Count before;  // weight of all smaller keys
};

struct DescendRoom {
  Count bins[256];
  Count before;
  std::uint32_t bin;
};

/**
 * The key at which the running weight of the items, in ascending order of their keys, passes `target`: weight before it ≤ target < with it. Radix
 * select, 8 bits at a time from the top; weights are integers, so that the order of addition does not matter. With weight 1 it is the item of rank
 * `target`. Called by the whole block; the weights sum to more than `target`.
 */
template <class Key, class Weight>
__device__ Crossing descend(int count, Count target, DescendRoom& room, Key&& key_of, Weight&& weight_of_item) {
  std::uint32_t prefix = 0;
  std::uint32_t mask = 0;
  Count below = 0;
  const int whole = (count + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x);
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (unsigned bin = threadIdx.x; bin < 256; bin += blockDim.x) room.bins[bin] = 0;
    sync_block();
    for (int turn = 0; turn < whole; turn++) {
      const int at = turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
      std::uint32_t bin = 256;
      Count weight = 0;
      if (at < count) {
        const std::uint32_t key = key_of(at);
        if ((key & mask) == prefix) {
          bin = key >> shift & 255u;
          weight = weight_of_item(at);
        }
      }
      // Neighbours often fall into one bin, above all in the first pass: then one addition serves the warp.
      if (all_lanes(bin == shuffle(bin, 0))) {
        weight = warp_sum<32>(weight);
        if (threadIdx.x % 32 == 0 && bin < 256 && weight > 0) atomic_add(&room.bins[bin], weight);
      } else if (bin < 256 && weight > 0) {
        atomic_add(&room.bins[bin], weight);
      }
    }
    sync_block();
    if (threadIdx.x < 32) {
      Count own = 0;
      for (unsigned i = 0; i < 8; i++) own += room.bins[threadIdx.x * 8 + i];
      Count sum = own;
      for (unsigned step = 1; step < 32; step *= 2) {
        const Count lower = shuffle_up(sum, step);
        if (threadIdx.x >= step) sum += lower;
      }
      Count before = below + sum - own;
      if (before <= target && target < before + own) {
        unsigned bin = threadIdx.x * 8;
        while (before + room.bins[bin] <= target) before += room.bins[bin++];
        room.before = before;
        room.bin = bin;
      }
    }
    sync_block();
    below = room.before;
    prefix |= room.bin << shift;
    mask |= 255u << shift;
  }
  return {prefix, below};
}

}  // namespace kvsift::KVSIFT_TARGET

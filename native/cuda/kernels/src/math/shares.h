#pragma once

#include "math/numbers.h"

namespace kvsift::KVSIFT_TARGET {

/** Whole part of a share, between 0 and the cap; NaN counts as 0. */
KVSIFT_BOTH double clean_share(float share) { return share == share ? static_cast<double>(share) : 0.0; }
KVSIFT_BOTH int whole_share(float share, int cap) {
  const double whole = floor(clean_share(share));
  return whole < 0 ? 0 : whole > cap ? cap : static_cast<int>(whole);
}

/** True where share a gets a missing unit before share b: larger remainder, then lower index. */
KVSIFT_BOTH bool share_before(double rest_a, int a, double rest_b, int b) { return rest_a != rest_b ? rest_a > rest_b : a < b; }

/**
 * Hands out what is missing to `total`, or takes back what is too much, one unit a turn in the order of the remainders.
 * @param order indices by falling remainder  @param out whole shares on entry
 */
KVSIFT_BOTH void settle_shares(const int* order, int count, long long total, int cap, std::int32_t* out) {
  long long missing = total;
  for (int i = 0; i < count; i++) missing -= out[i];
  while (missing > 0) {
    for (int i = 0; i < count && missing > 0; i++) {
      if (out[order[i]] >= cap) continue;
      out[order[i]]++;
      missing--;
    }
  }
  while (missing < 0) {
    for (int i = count; i-- > 0 && missing < 0;) {
      if (out[order[i]] <= 0) continue;
      out[order[i]]--;
      missing++;
    }
  }
}

}  // namespace kvsift::KVSIFT_TARGET

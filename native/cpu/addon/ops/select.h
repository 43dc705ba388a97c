#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift::ops {

/** Which entries of scores f32 [heads, length] `top` keeps. */
struct TopArguments {
  const float* scores = nullptr;
  std::size_t heads = 0;
  std::size_t length = 0;
  /** i32 [heads], or null: `keep` of each head. */
  const std::int32_t* counts = nullptr;
  std::size_t keep = 0;
  std::size_t total = 0;
  std::size_t max = 0;
  std::size_t protect_first = 0;
  std::size_t protect_last = 0;
  /** f32 [heads, length] or null: entries where it is not 0 are kept. */
  const float* protect = nullptr;
};

/**
 * Best entries per head: higher score first, equal scores lower index first, NaN as −∞.
 * @param indices i32 [total], ascending per head, heads back to back
 * @param offsets i32 [heads + 1]
 * @throws Fault `invalid_argument` where the counts do not fit the total, the bound, the length or the protected entries
 */
void top(Context& context, const TopArguments& arguments, std::int32_t* indices, std::int32_t* offsets);

/** How many of the `total` best scores of all heads each head has (order: score, head, index). */
void top_shares(Context& context, const float* scores, std::size_t heads, std::size_t length, std::size_t total, std::int32_t* out);

/**
 * Integers nearest to the shares that sum to `total`, by largest remainder (ties: lower index), between 0 and `cap`; what the cap cuts off goes to
 * the others by remainder. `total` is at most count · cap.
 */
void round_shares(Context& context, const float* shares, std::size_t count, std::size_t total, std::size_t cap, std::int32_t* out);

}  // namespace kvsift::ops

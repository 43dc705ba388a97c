#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace kvsift::ops {

/** A number that grows with the value; both zeros are equal, NaN is above all. */
inline std::uint32_t ascending(float value) {
  if (value != value) return 0xffffffffu;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value == 0 ? 0.0f : value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/** A number that falls as the score grows, from 1 on; NaN counts as −∞. */
inline std::uint32_t descending(float score) {
  return ~ascending(score != score ? -__builtin_inff() : score);
}

/** Sorts by `value`, then by index. */
inline std::uint64_t order_key(std::uint32_t value, std::size_t index) {
  return std::uint64_t{value} << 32 | static_cast<std::uint32_t>(index);
}

inline std::size_t key_index(std::uint64_t key) { return static_cast<std::uint32_t>(key); }

}  // namespace kvsift::ops

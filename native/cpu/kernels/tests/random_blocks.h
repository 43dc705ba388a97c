#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "kvsift/dtype.h"

namespace kvsift::tests {

/** Offsets of the half-precision numbers in a block: random bits there would be NaN now and then. */
inline std::vector<std::size_t> half_offsets(DType type) {
  switch (type) {
    case DType::q4_1:
    case DType::q5_1:
    case DType::q4_k:
    case DType::q5_k: return {0, 2};
    case DType::q2_k: return {80, 82};
    case DType::q3_k: return {108};
    case DType::q6_k: return {208};
    default: return {0};
  }
}

/** Random stored rows of any weight type. */
inline std::vector<std::uint8_t> random_rows(DType type, std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<std::uint8_t> bytes(rows * row_bytes(type, columns));
  const BlockLayout layout = block_layout(type);
  for (std::size_t at = 0; at < bytes.size(); at += layout.bytes) {
    if (type == DType::f32) {
      const float value = normal(generator);
      std::memcpy(&bytes[at], &value, 4);
    } else if (layout.values == 1) {
      const float value = normal(generator);
      const std::uint16_t bits = type == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(&bytes[at], &bits, 2);
    } else {
      for (std::size_t i = 0; i < layout.bytes; i++) bytes[at + i] = static_cast<std::uint8_t>(generator());
      const float shrink = layout.values == 256 ? 0.02F : 0.1F;
      for (const std::size_t offset : half_offsets(type)) {
        const std::uint16_t bits = f32_to_f16(normal(generator) * shrink);
        std::memcpy(&bytes[at + offset], &bits, 2);
      }
    }
  }
  return bytes;
}

}  // namespace kvsift::tests

#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/dtype.h"

namespace kvsift {

/**
 * How a block format becomes small unsigned codes with one scale per group:
 * value = scale · (code − zero) + minimum, or scale · (table[code] − zero) where `table` is used.
 */
struct CodeFormat {
  std::uint8_t bits;       // 4: two codes to a byte; 8
  std::uint8_t group;      // values per scale: 16 or 32
  bool minimum;            // has minimums (then zero is 0)
  bool table;              // 4-bit codes index `iq4_table`
  bool wide_scale;         // scales and minimums are kept in f32; else f16 holds them exactly
  std::uint8_t zero;
  std::uint8_t largest;    // largest code (after the table)
};

/** Non-linear 4-bit values of IQ4, plus 128. */
alignas(16) inline constexpr std::uint8_t iq4_table[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

/** True for block formats. */
inline bool is_block_format(DType type) { return type >= DType::q4_0; }

/** Of a block format. */
CodeFormat code_format(DType type);

/** One block taken apart. */
struct BlockCodes {
  std::uint8_t codes[256];
  float scales[16];
  float minimums[16];
};

/** Takes apart one block of a block format (layouts: ggml-common.h of llama.cpp). */
void decode_block(DType type, const std::uint8_t* source, BlockCodes& out);

}  // namespace kvsift

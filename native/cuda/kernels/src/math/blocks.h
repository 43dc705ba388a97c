#pragma once

#include "kvsift_cuda.h"
#include "math/numbers.h"

// Stored weights as values, 8 at a time. Layouts: the GGUF block formats (ggml-quants.h); checked against the files' own values in the tests.
namespace kvsift::KVSIFT_TARGET {

using Dtype = kvsift_cuda_dtype;

struct BlockLayout {
  int values;
  int bytes;
};

/** {0, 0} where the kernels do not read the format. */
KVSIFT_BOTH BlockLayout block_layout(Dtype type) {
  switch (type) {
    case KVSIFT_CUDA_F32: return {1, 4};
    case KVSIFT_CUDA_F16:
    case KVSIFT_CUDA_BF16: return {1, 2};
    case KVSIFT_CUDA_Q4_0: return {32, 18};
    case KVSIFT_CUDA_Q4_1: return {32, 20};
    case KVSIFT_CUDA_Q5_0: return {32, 22};
    case KVSIFT_CUDA_Q5_1: return {32, 24};
    case KVSIFT_CUDA_Q8_0: return {32, 34};
    case KVSIFT_CUDA_Q2_K: return {256, 84};
    case KVSIFT_CUDA_Q3_K: return {256, 110};
    case KVSIFT_CUDA_Q4_K: return {256, 144};
    case KVSIFT_CUDA_Q5_K: return {256, 176};
    case KVSIFT_CUDA_Q6_K: return {256, 210};
    case KVSIFT_CUDA_IQ4_NL: return {32, 18};
    case KVSIFT_CUDA_IQ4_XS: return {256, 136};
    default: return {0, 0};
  }
}

using Bytes = const unsigned char*;

/** Block formats have an even number of bytes, so a row starts on an even address. */
KVSIFT_BOTH std::uint32_t pair_at(Bytes from) { return *reinterpret_cast<const std::uint16_t*>(from); }
KVSIFT_BOTH float half_at(Bytes from) { return f16_widen(static_cast<std::uint16_t>(pair_at(from))); }

/** 8 bytes. */
KVSIFT_BOTH void bytes_at(Bytes from, std::uint32_t (&out)[8]) {
  for (int i = 0; i < 4; i++) {
    const std::uint32_t two = pair_at(from + 2 * i);
    out[2 * i] = two & 255u;
    out[2 * i + 1] = two >> 8;
  }
}

/** Value of a 4-bit code of IQ4_NL and IQ4_XS: the 16 signed bytes of the format's table, in two words. */
KVSIFT_BOTH int iq4_value(std::uint32_t code) {
  const std::uint64_t half = code < 8 ? 0xf6eaddcfbfad9881ull : 0x7159453526190d01ull;
  return static_cast<std::int8_t>(half >> (code % 8 * 8) & 255u);
}

/** 6-bit scale and minimum of sub-block `i` of Q4_K and Q5_K. */
struct PackedScale {
  int scale, minimum;
};
KVSIFT_BOTH PackedScale packed_scale(Bytes scales, int i) {
  if (i < 4) return {scales[i] & 63, scales[i + 4] & 63};
  return {(scales[i + 4] & 15) | (scales[i - 4] >> 6) << 4, scales[i + 4] >> 4 | (scales[i] >> 6) << 4};
}

/** Values 8 · group ... 8 · group + 7 of a stored row. */
template <Dtype type>
KVSIFT_BOTH void values_at(Bytes row, int group, float (&out)[8]) {
  if constexpr (type == KVSIFT_CUDA_F32) {
    for (int i = 0; i < 8; i++) out[i] = reinterpret_cast<const float*>(row)[group * 8 + i];
  } else if constexpr (type == KVSIFT_CUDA_F16 || type == KVSIFT_CUDA_BF16) {
    for (int i = 0; i < 8; i++) {
      const auto bits = static_cast<std::uint16_t>(pair_at(row + (group * 8 + i) * 2));
      out[i] = type == KVSIFT_CUDA_F16 ? f16_widen(bits) : bf16_widen(bits);
    }
  } else if constexpr (type == KVSIFT_CUDA_Q8_0) {
    const Bytes block = row + group / 4 * 34;
    const float scale = half_at(block);
    std::uint32_t codes[8];
    bytes_at(block + 2 + group % 4 * 8, codes);
    for (int i = 0; i < 8; i++) out[i] = scale * static_cast<float>(static_cast<std::int8_t>(codes[i]));
  } else if constexpr (type == KVSIFT_CUDA_Q4_0 || type == KVSIFT_CUDA_Q4_1 || type == KVSIFT_CUDA_IQ4_NL) {
    constexpr bool minimum = type == KVSIFT_CUDA_Q4_1;
    const Bytes block = row + group / 4 * block_layout(type).bytes;
    const float scale = half_at(block);
    std::uint32_t codes[8];
    bytes_at(block + (minimum ? 4 : 2) + group % 2 * 8, codes);
    const int shift = group % 4 / 2 * 4;
    for (int i = 0; i < 8; i++) {
      const std::uint32_t code = codes[i] >> shift & 15u;
      if constexpr (minimum) {
        out[i] = scale * static_cast<float>(code) + half_at(block + 2);
      } else {
        out[i] = scale * static_cast<float>(type == KVSIFT_CUDA_IQ4_NL ? iq4_value(code) : static_cast<int>(code) - 8);
      }
    }
  } else if constexpr (type == KVSIFT_CUDA_Q5_0 || type == KVSIFT_CUDA_Q5_1) {
    constexpr int head = type == KVSIFT_CUDA_Q5_1 ? 4 : 2;
    const Bytes block = row + group / 4 * block_layout(type).bytes;
    const float scale = half_at(block);
    // One byte of the mask holds the fifth bits of the group.
    const std::uint32_t fifth = block[head + group % 4];
    std::uint32_t codes[8];
    bytes_at(block + head + 4 + group % 2 * 8, codes);
    for (int i = 0; i < 8; i++) {
      const auto code = static_cast<int>((codes[i] >> (group % 4 / 2 * 4) & 15u) | (fifth >> i & 1u) << 4);
      out[i] = type == KVSIFT_CUDA_Q5_1 ? scale * static_cast<float>(code) + half_at(block + 2) : scale * static_cast<float>(code - 16);
    }
  } else if constexpr (type == KVSIFT_CUDA_Q2_K) {
    const Bytes block = row + group / 32 * 84;
    const int first = group % 32 * 8;
    const int packed = block[first / 16];
    const float scale = half_at(block + 80) * static_cast<float>(packed & 15);
    const float minimum = half_at(block + 82) * static_cast<float>(packed >> 4);
    std::uint32_t codes[8];
    bytes_at(block + 16 + first / 128 * 32 + first % 32, codes);
    for (int i = 0; i < 8; i++) out[i] = scale * static_cast<float>(codes[i] >> (first / 32 % 4 * 2) & 3u) - minimum;
  } else if constexpr (type == KVSIFT_CUDA_Q3_K) {
    const Bytes block = row + group / 32 * 110;
    const int first = group % 32 * 8;
    const int part = first / 16;
    const int low = part < 8 ? block[96 + part] & 15 : block[96 + part - 8] >> 4;
    const int high = block[104 + part % 4] >> (part / 4 * 2) & 3;
    const float scale = half_at(block + 108) * static_cast<float>((low | high << 4) - 32);
    std::uint32_t codes[8];
    std::uint32_t mask[8];
    bytes_at(block + 32 + first / 128 * 32 + first % 32, codes);
    bytes_at(block + first % 32, mask);
    for (int i = 0; i < 8; i++) {
      const std::uint32_t code = (codes[i] >> (first / 32 % 4 * 2) & 3u) | (mask[i] >> (first / 32) & 1u) << 2;
      out[i] = scale * static_cast<float>(static_cast<int>(code) - 4);
    }
  } else if constexpr (type == KVSIFT_CUDA_Q4_K || type == KVSIFT_CUDA_Q5_K) {
    constexpr bool fifth = type == KVSIFT_CUDA_Q5_K;
    const Bytes block = row + group / 32 * block_layout(type).bytes;
    const int part = group % 32 / 4;
    const PackedScale packed = packed_scale(block + 4, part);
    const float scale = half_at(block) * static_cast<float>(packed.scale);
    const float minimum = half_at(block + 2) * static_cast<float>(packed.minimum);
    std::uint32_t codes[8];
    std::uint32_t high[8] = {};
    bytes_at(block + (fifth ? 48 : 16) + part / 2 * 32 + group % 4 * 8, codes);
    if constexpr (fifth) bytes_at(block + 16 + group % 4 * 8, high);
    for (int i = 0; i < 8; i++) {
      const std::uint32_t code = (codes[i] >> (part % 2 * 4) & 15u) | (high[i] >> part & 1u) << 4;
      out[i] = scale * static_cast<float>(code) - minimum;
    }
  } else if constexpr (type == KVSIFT_CUDA_IQ4_XS) {
    const Bytes block = row + group / 32 * 136;
    const int part = group % 32 / 4;
    const int low = block[4 + part / 2] >> (part % 2 * 4) & 15;
    const int high = static_cast<int>(pair_at(block + 2) >> (2 * part) & 3u);
    const float scale = half_at(block) * static_cast<float>((low | high << 4) - 32);
    std::uint32_t codes[8];
    bytes_at(block + 8 + part * 16 + group % 2 * 8, codes);
    for (int i = 0; i < 8; i++) out[i] = scale * static_cast<float>(iq4_value(codes[i] >> (group % 4 / 2 * 4) & 15u));
  } else {
    static_assert(type == KVSIFT_CUDA_Q6_K);
    const Bytes block = row + group / 32 * 210;
    const int first = group % 32 * 8;
    const int half = first / 128;
    const int quarter = first / 32 % 4;
    const float scale = half_at(block + 208) * static_cast<float>(static_cast<std::int8_t>(block[192 + first / 16]));
    std::uint32_t low[8];
    std::uint32_t high[8];
    bytes_at(block + half * 64 + quarter % 2 * 32 + first % 32, low);
    bytes_at(block + 128 + half * 32 + first % 32, high);
    for (int i = 0; i < 8; i++) {
      const std::uint32_t code = (low[i] >> (quarter / 2 * 4) & 15u) | (high[i] >> (2 * quarter) & 3u) << 4;
      out[i] = scale * static_cast<float>(static_cast<int>(code) - 32);
    }
  }
}

}  // namespace kvsift::KVSIFT_TARGET

#include "formats.h"

#include <cstring>

namespace kvsift {

namespace {

using Bytes = const std::uint8_t*;

float half_at(Bytes source) {
  std::uint16_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return f16_to_f32(bits);
}

/** 16 bytes whose low nibbles are the first 16 codes and whose high nibbles are the rest. */
void nibbles(Bytes source, std::uint8_t* codes) {
  for (int i = 0; i < 16; i++) {
    codes[i] = source[i] & 15;
    codes[16 + i] = source[i] >> 4;
  }
}

/** Adds bit i of a 32-bit mask to code i as its fifth bit. */
void fifth_bits(Bytes source, std::uint8_t* codes) {
  std::uint32_t mask;
  std::memcpy(&mask, source, sizeof mask);
  for (int i = 0; i < 32; i++) codes[i] = static_cast<std::uint8_t>(codes[i] | (mask >> i & 1U) << 4);
}

/** 6-bit scale and minimum of sub-block i of Q4_K and Q5_K, scaled. */
void packed_scales(Bytes source, float scale, float minimum, BlockCodes& out) {
  for (int i = 0; i < 8; i++) {
    const int s = i < 4 ? source[i] & 63 : (source[i + 4] & 15) | (source[i - 4] >> 6) << 4;
    const int m = i < 4 ? source[i + 4] & 63 : source[i + 4] >> 4 | (source[i] >> 6) << 4;
    out.scales[i] = scale * static_cast<float>(s);
    out.minimums[i] = -(minimum * static_cast<float>(m));
  }
}

/** 128 bytes: 4 runs of 32 whose low nibbles are one sub-block of 32 and whose high nibbles are the next. */
void nibble_runs(Bytes source, std::uint8_t* codes) {
  for (int run = 0; run < 4; run++) {
    for (int i = 0; i < 32; i++) {
      codes[run * 64 + i] = source[run * 32 + i] & 15;
      codes[run * 64 + 32 + i] = source[run * 32 + i] >> 4;
    }
  }
}

void q2_k(Bytes source, BlockCodes& out) {
  const float d = half_at(source + 80);
  const float minimum = half_at(source + 82);
  for (int i = 0; i < 16; i++) {
    out.scales[i] = d * static_cast<float>(source[i] & 15);
    out.minimums[i] = -(minimum * static_cast<float>(source[i] >> 4));
  }
  for (int k = 0; k < 256; k++) out.codes[k] = source[16 + k / 128 * 32 + k % 32] >> (2 * (k / 32 % 4)) & 3;
}

void q3_k(Bytes source, BlockCodes& out) {
  const Bytes scales = source + 96;
  const float d = half_at(source + 108);
  for (int i = 0; i < 16; i++) {
    const int low = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
    const int high = scales[8 + i % 4] >> (2 * (i / 4)) & 3;
    out.scales[i] = d * static_cast<float>((low | high << 4) - 32);
  }
  for (int k = 0; k < 256; k++) {
    const int low = source[32 + k / 128 * 32 + k % 32] >> (2 * (k / 32 % 4)) & 3;
    const int high = source[k % 32] >> (k / 32) & 1;
    out.codes[k] = static_cast<std::uint8_t>(low | high << 2);
  }
}

void q5_k(Bytes source, BlockCodes& out) {
  packed_scales(source + 4, half_at(source), half_at(source + 2), out);
  nibble_runs(source + 48, out.codes);
  for (int k = 0; k < 256; k++) out.codes[k] = static_cast<std::uint8_t>(out.codes[k] | (source[16 + k % 32] >> (k / 32) & 1) << 4);
}

void q6_k(Bytes source, BlockCodes& out) {
  const float d = half_at(source + 208);
  for (int i = 0; i < 16; i++) out.scales[i] = d * static_cast<float>(static_cast<std::int8_t>(source[192 + i]));
  for (int k = 0; k < 256; k++) {
    const int half = k / 128;
    const int quarter = k / 32 % 4;
    const int low = source[half * 64 + quarter % 2 * 32 + k % 32] >> (quarter / 2 * 4) & 15;
    const int high = source[128 + half * 32 + k % 32] >> (2 * quarter) & 3;
    out.codes[k] = static_cast<std::uint8_t>(low | high << 4);
  }
}

void iq4_xs(Bytes source, BlockCodes& out) {
  const float d = half_at(source);
  const int high = source[2] | source[3] << 8;
  for (int i = 0; i < 8; i++) {
    const int scale = (source[4 + i / 2] >> (4 * (i % 2)) & 15) | (high >> (2 * i) & 3) << 4;
    out.scales[i] = d * static_cast<float>(scale - 32);
    nibbles(source + 8 + 16 * i, out.codes + 32 * i);
  }
}

}  // namespace

CodeFormat code_format(DType type) {
  switch (type) {
    case DType::q4_0: return {4, 32, false, false, false, 8, 15};
    case DType::q4_1: return {4, 32, true, false, false, 0, 15};
    case DType::q5_0: return {8, 32, false, false, false, 16, 31};
    case DType::q5_1: return {8, 32, true, false, true, 0, 31};
    case DType::q8_0: return {8, 32, false, false, false, 128, 255};
    case DType::q2_k: return {8, 16, true, false, true, 0, 3};
    case DType::q3_k: return {8, 16, false, false, true, 4, 7};
    case DType::q4_k: return {4, 32, true, false, true, 0, 15};
    case DType::q5_k: return {8, 32, true, false, true, 0, 31};
    case DType::q6_k: return {8, 16, false, false, true, 32, 63};
    case DType::iq4_nl: return {4, 32, false, true, true, 128, 241};
    case DType::iq4_xs: return {4, 32, false, true, true, 128, 241};
    default: return {};
  }
}

void decode_block(DType type, const std::uint8_t* source, BlockCodes& out) {
  switch (type) {
    case DType::q4_0:
    case DType::iq4_nl:
      out.scales[0] = half_at(source);
      nibbles(source + 2, out.codes);
      return;
    case DType::q4_1:
      out.scales[0] = half_at(source);
      out.minimums[0] = half_at(source + 2);
      nibbles(source + 4, out.codes);
      return;
    case DType::q5_0:
      out.scales[0] = half_at(source);
      nibbles(source + 6, out.codes);
      fifth_bits(source + 2, out.codes);
      return;
    case DType::q5_1:
      out.scales[0] = half_at(source);
      out.minimums[0] = half_at(source + 2);
      nibbles(source + 8, out.codes);
      fifth_bits(source + 4, out.codes);
      return;
    case DType::q8_0:
      out.scales[0] = half_at(source);
      for (int i = 0; i < 32; i++) out.codes[i] = source[2 + i] ^ 0x80U;
      return;
    case DType::q2_k: return q2_k(source, out);
    case DType::q3_k: return q3_k(source, out);
    case DType::q4_k:
      packed_scales(source + 4, half_at(source), half_at(source + 2), out);
      nibble_runs(source + 16, out.codes);
      return;
    case DType::q5_k: return q5_k(source, out);
    case DType::q6_k: return q6_k(source, out);
    case DType::iq4_xs: return iq4_xs(source, out);
    default: return;
  }
}

void dequantize_row(DType type, const void* source, std::size_t columns, float* out) {
  const auto* bytes = static_cast<const std::uint8_t*>(source);
  if (type == DType::f32) {
    std::memcpy(out, source, columns * sizeof(float));
    return;
  }
  if (type == DType::f16 || type == DType::bf16) {
    for (std::size_t k = 0; k < columns; k++) {
      std::uint16_t bits;
      std::memcpy(&bits, bytes + 2 * k, sizeof bits);
      out[k] = type == DType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
    return;
  }
  const BlockLayout layout = block_layout(type);
  const CodeFormat format = code_format(type);
  BlockCodes block;
  for (std::size_t k = 0; k < columns; k += layout.values, bytes += layout.bytes, out += layout.values) {
    decode_block(type, bytes, block);
    for (std::size_t i = 0; i < layout.values; i++) {
      const int code = format.table ? iq4_table[block.codes[i]] : block.codes[i];
      const float product = block.scales[i / format.group] * static_cast<float>(code - format.zero);
      out[i] = format.minimum ? product + block.minimums[i / format.group] : product;
    }
  }
}

}  // namespace kvsift

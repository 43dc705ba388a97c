#include "kvsift/dtype.h"

#include <bit>
#include <cstring>

namespace kvsift {

namespace {

struct Entry {
  const char* name;
  BlockLayout layout;
};

constexpr Entry entries[dtype_count] = {
    {"f32", {1, 4}},      {"f16", {1, 2}},      {"bf16", {1, 2}},     {"i32", {1, 4}},      {"u8", {1, 1}},        {"q4_0", {32, 18}},
    {"q4_1", {32, 20}},   {"q5_0", {32, 22}},   {"q5_1", {32, 24}},   {"q8_0", {32, 34}},   {"q2_k", {256, 84}},   {"q3_k", {256, 110}},
    {"q4_k", {256, 144}}, {"q5_k", {256, 176}}, {"q6_k", {256, 210}}, {"iq4_nl", {32, 18}}, {"iq4_xs", {256, 136}},
};

}  // namespace

BlockLayout block_layout(DType type) { return entries[static_cast<int>(type)].layout; }

const char* dtype_name(DType type) { return entries[static_cast<int>(type)].name; }

bool dtype_from_name(const char* name, DType& type) {
  for (int index = 0; index < dtype_count; index++) {
    if (std::strcmp(name, entries[index].name) == 0) {
      type = static_cast<DType>(index);
      return true;
    }
  }
  return false;
}

std::size_t row_bytes(DType type, std::size_t columns) {
  const BlockLayout layout = block_layout(type);
  return columns / layout.values * layout.bytes;
}

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fU;
  const std::uint32_t fraction = bits & 0x3ffU;
  if (exponent == 0) {
    const float value = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  const std::uint32_t wide = exponent == 31 ? 0xffU : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

std::uint16_t f32_to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U | (magnitude >> 13 & 0x1ffU));
  if (magnitude >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (magnitude < 0x38800000U) {
    // Adding 0.5 puts the last bit of a subnormal half at the last bit of the float, rounded by the addition.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

float bf16_to_f32(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t f32_to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace kvsift

#pragma once

#include "math/numbers.h"

// Rows of a cache in blocks of q8_0: a half as the scale of the 32 signed bytes behind it.
namespace kvsift::KVSIFT_TARGET {

constexpr int q8_values = 32;
constexpr int q8_bytes = 34;

/** Stands for the elements of such rows where others have a type; it is read a channel or eight at a time. */
struct Q8 {
  std::int8_t code;
};

KVSIFT_BOTH std::int64_t q8_row_bytes(std::int64_t head_dim) { return head_dim / q8_values * q8_bytes; }

/** The block of a channel. */
KVSIFT_BOTH const unsigned char* q8_block(const void* data, std::int64_t row, std::int64_t head_dim, unsigned channel) {
  return static_cast<const unsigned char*>(data) + row * q8_row_bytes(head_dim) + static_cast<std::int64_t>(channel / q8_values) * q8_bytes;
}

/** Two bytes; blocks begin at even addresses. */
KVSIFT_BOTH std::uint16_t q8_pair(const unsigned char* at) { return *reinterpret_cast<const std::uint16_t*>(at); }

KVSIFT_BOTH float q8_value(const unsigned char* block, unsigned within) {
  return f16_widen(q8_pair(block)) * static_cast<float>(static_cast<std::int8_t>(block[2 + within]));
}

/** A channel of a row, whatever it is stored in. */
template <class Element>
KVSIFT_BOTH float entry_value(const void* data, std::int64_t row, std::int64_t head_dim, unsigned channel) {
  return static_cast<const Element*>(data)[row * head_dim + channel].widen();
}
template <>
KVSIFT_BOTH float entry_value<Q8>(const void* data, std::int64_t row, std::int64_t head_dim, unsigned channel) {
  return q8_value(q8_block(data, row, head_dim, channel), channel % q8_values);
}

}  // namespace kvsift::KVSIFT_TARGET

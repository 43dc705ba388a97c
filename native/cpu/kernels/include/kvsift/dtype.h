#pragma once

#include <cstddef>
#include <cstdint>

namespace kvsift {

/** Storage types. Names and block layouts are those of `packages/tensor/src/dtype.ts`, in the same order. */
enum class DType : std::uint8_t {
  f32, f16, bf16, i32, u8,
  q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs,
};

inline constexpr int dtype_count = 17;

/** Values and bytes of one block; an element type is a block of one value. */
struct BlockLayout {
  std::uint32_t values;
  std::uint32_t bytes;
};

BlockLayout block_layout(DType type);

/** "f32", "q4_0", ... */
const char* dtype_name(DType type);

/** The type of that name; false where there is none. */
bool dtype_from_name(const char* name, DType& type);

/** Bytes of one stored row of `columns` values (whole blocks). */
std::size_t row_bytes(DType type, std::size_t columns);

/** IEEE half to float, exact. */
float f16_to_f32(std::uint16_t bits);

/** Float to IEEE half, nearest even, overflow to infinity. */
std::uint16_t f32_to_f16(float value);

/** bfloat16 to float, exact. */
float bf16_to_f32(std::uint16_t bits);

/** Float to bfloat16, nearest even; NaN stays NaN. */
std::uint16_t f32_to_bf16(float value);

/**
 * Values of one stored row, exactly as gguf's dequantize gives them (f32, f16, bf16 and all block types).
 * @param source first byte of the row, any alignment
 * @param out columns floats
 */
void dequantize_row(DType type, const void* source, std::size_t columns, float* out);

}  // namespace kvsift

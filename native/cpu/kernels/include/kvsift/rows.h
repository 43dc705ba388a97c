#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvsift/context.h"

namespace kvsift {

// Ops on f32 row matrices. Inputs may not overlap outputs unless said otherwise.

/** x · (weight + offset) / √(mean(x²) + ε) over each row [rows, columns]; weight f32 [columns]. out may be x. */
void rms_norm(Context& context, const float* x, std::size_t rows, std::size_t columns, const float* weight, float epsilon, float weight_offset, float* out);

enum class Activation : std::uint8_t { silu, gelu_tanh, gelu };

/** act(x[:, :half]) · x[:, half:]: [rows, 2 · half] → [rows, half]. */
void gated(Context& context, const float* x, std::size_t rows, std::size_t half, Activation activation, float* out);

/** act(gate) · up of one row, on the calling thread. */
void gate_row(const Context& context, Activation activation, const float* gate, const float* up, std::size_t count, float* out);

/** cap · tanh(x / cap); out may be x. */
void softcap(Context& context, const float* x, std::size_t count, float cap, float* out);

/** Cuts the columns [rows, Σ widths] into one matrix [rows, width] each. */
void split_columns(Context& context, const float* x, std::size_t rows, std::span<const std::size_t> widths, std::span<float* const> out);

/**
 * Rotates [rows, heads · head_dim] to positions i32 [rows]; pairs are (c, c + rotary / 2), channels from `rotary` on are copied. Angles in float64.
 * @param inverse_frequencies f32 [rotary / 2]
 * @param scale factor on cos and sin
 * @param out may be x
 */
void rope(Context& context, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, const std::int32_t* positions,
          const float* inverse_frequencies, std::size_t rotary, float scale, float* out);

}  // namespace kvsift

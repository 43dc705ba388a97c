#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/rows.h"
#include "kvsift/weights.h"

namespace kvsift {

/**
 * out = x · Wᵀ (+ bias) (+ residual).
 * @param apart rows of several sequences: each is what it would be alone, to the bit. Otherwise many rows may be multiplied as what is fastest for many.
 * @param x f32 [rows, weight.columns()]
 * @param bias f32 [weight.rows()] or null
 * @param residual f32 [rows, weight.rows()] or null; may be `out`
 * @param out f32 [rows, weight.rows()]; may not overlap x
 */
void linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, bool apart, const float* bias,
            const float* residual, float* out);

/**
 * out = act(x · Gᵀ + bias) · (x · Uᵀ + bias) where the first half of the weight's rows is G and the other U; as `linear` and `gated`, but for many rows
 * their halves meet while they are near.
 * @param bias f32 [weight.rows()] or null
 * @param out f32 [rows, weight.rows() / 2]; may not overlap x
 */
void gated_linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, bool apart, const float* bias,
                  Activation activation, float* out);

/** Value vectors of KV heads: f32 [kv_heads, entries, head_dim]. */
struct HeadValues {
  const float* data;
  std::size_t kv_heads;
  std::size_t entries;
  std::size_t head_dim;
};

enum class Norm : std::uint8_t { l1, l2 };

/**
 * How large what each query head makes of each value of its KV head is: the norm of value · W[:, columns of the head]ᵀ over all outputs, which exists
 * only in pieces. Under `int8` the products are of bf16 where the machine has those, else of f32.
 * @param weight [outputs, heads · head_dim], heads a multiple of kv_heads
 * @param out f32 [heads, entries]
 */
void projected_norms(Context& context, Compute compute, const PackedWeight& weight, const HeadValues& values, Norm norm, float* out);

/** Columns that `multiply_panels` takes at most: whole panels of 16. */
std::size_t panel_columns(const Context& context);

/**
 * out [rows, columns] = x · b, or += with `add`, in f32 on the calling thread: the inner part of products of activations with each other.
 * @param b panels of 16 columns [depth][16], `panel_stride` floats apart; columns that are missing are 0
 * @param x [rows, depth], rows `x_stride` floats apart
 * @param columns at most `panel_columns`
 */
void multiply_panels(const Context& context, const float* b, std::size_t panel_stride, std::size_t columns, std::size_t depth, const float* x,
                     std::size_t x_stride, std::size_t rows, bool add, float* out, std::size_t out_stride);

}  // namespace kvsift

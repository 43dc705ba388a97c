#pragma once

#include <cstddef>

#include "kvsift/weights.h"

namespace kvsift {

/** Whether products of activations with each other may be, and are, products of what has been rounded to bf16. */
bool rounds_activations(const Context& context, Compute compute);

/** out [rows, columns] = x [rows, depth] · b, all in f32, rows `..._stride` floats apart. */
struct RoundedProduct {
  const float* x;
  std::size_t x_stride;
  std::size_t rows;
  const float* b;  // [depth, columns], or [columns, depth] where `transposed`
  std::size_t b_stride;
  bool transposed;
  std::size_t columns;
  std::size_t depth;
  float* out;
  std::size_t out_stride;
};

/**
 * A block of a product whose operands are rounded to bf16, on the calling thread. `add`: to what is there. Where `rounds_activations`. What it packs
 * should fit the second-level cache: `rows` and `columns` times `depth` times two bytes.
 */
void multiply_rounded(Context& context, std::size_t thread, const RoundedProduct& product, bool add);

/** Rows [rows, heads · dim], `stride` floats apart, less a centre [heads · dim]. */
struct MomentRows {
  const float* x;
  std::size_t stride;
  std::size_t rows;
  std::size_t heads;
  std::size_t dim;
  const float* centre;
};

/**
 * sums [heads · dim] += each column of the rows, and products [heads, dim, dim] = those of each head's columns with each other, rounded to bf16; with `add`,
 * +=. On the calling thread, where `rounds_activations`. Packs four bytes a number, which should fit the second-level cache.
 */
void add_moments_rounded(Context& context, std::size_t thread, const MomentRows& rows, bool add, float* sums, float* products);

/** Rows up to which products with the rows of another matrix are taken one by one: nothing is packed for them. */
inline constexpr std::size_t few_product_rows = 8;

/** Rows of f32, f16 or bf16, back to back. */
struct MatrixRows {
  const std::byte* data;
  DType type;
};

/**
 * out [rows, columns] = x [rows, depth] · bᵀ in f32, on the calling thread.
 * @param rows at most `few_product_rows`
 * @param b [columns, depth]
 */
void multiply_few(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const MatrixRows& b, std::size_t columns, float* out,
                  std::size_t out_stride);

/** out [rows, columns] = x [rows, depth] · b [depth, columns], likewise. */
void multiply_few_plain(Context& context, std::size_t thread, const float* x, std::size_t rows, std::size_t depth, const MatrixRows& b, std::size_t columns,
                        float* out);

}  // namespace kvsift

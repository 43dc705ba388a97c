#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvsift/kv.h"
#include "kvsift/weights.h"

namespace kvsift {

/** Softmax attention as the model defines it. Query head h reads KV head h / (query_heads / kv_heads). */
struct AttentionShape {
  std::size_t query_heads = 0;
  float scale = 1;           // factor on q·k
  float softcap = 0;         // cap · tanh(x / cap) on scaled logits; 0: none
  std::int32_t window = 0;   // a query sees positions > its own − window; 0: all. Needs positions of queries and entries
};

/**
 * Causal attention of packed query rows: row i of m of a segment sees the entries 0 ... length − m + i of each head. A row that sees nothing gives 0 and −∞.
 *
 * Equal contents in dense, flattened and paged views give bit-identical results; threads and the other segments of a batch change nothing.
 * `Compute::int8` lets segments with many rows use bf16 dot products (f32 accumulation and softmax); few rows are always computed in f32.
 * @param q f32 [rows, query_heads · head_dim]
 * @param positions i32 [rows], needed with a window; else may be null
 * @param out f32 [rows, query_heads · head_dim]; may not overlap q
 * @param log_sum_exp f32 [rows, query_heads], natural, or null
 */
void attention(Context& context, Compute compute, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape,
               const std::int32_t* positions, float* out, float* log_sum_exp);

/**
 * The same for one segment, and adds to each key the probabilities that its rows give to it. Where the fast path runs, weights are kept as bf16 until
 * their row's sum is known: one block of rows times the entries per thread, instead of a second sweep over the keys.
 * @param view all heads hold n entries
 * @param log_sum_exp not null
 * @param columns f32 [query_heads, column_stride], column_stride ≥ n; added to
 */
void attention_with_columns(Context& context, Compute compute, const KvView& view, std::size_t rows, const float* q, const AttentionShape& shape,
                            const std::int32_t* positions, float* out, float* log_sum_exp, std::size_t n, float* columns, std::size_t column_stride);

enum class ColumnStatistic : std::uint8_t { sum, max };
enum class ColumnMask : std::uint8_t { causal, none };

/** See `ColumnOptions` in packages/tensor/src/op-options.ts. */
struct ColumnArguments {
  AttentionShape shape;
  ColumnMask mask = ColumnMask::causal;
  /** Causal: row i of m sees the entries 0 ... length − behind − m + i. */
  std::size_t behind = 0;
  const std::int32_t* positions = nullptr;  // i32 [rows], needed with a window
  const float* log_sum_exp = nullptr;       // f32 [rows, query_heads] where known (of the same mask), or null
};

/**
 * Σ or max over the query rows of the probability of each key; never holds a rows × n matrix.
 * @param view all heads hold n entries
 * @param out f32 [query_heads, n]
 */
void attention_columns(Context& context, Compute compute, const float* q, std::size_t rows, const KvView& view, std::size_t n,
                       ColumnStatistic statistic, const ColumnArguments& arguments, float* out);

/** The probabilities of few rows: f32 [query_heads, rows, n]; entries that a row does not see are 0. */
void attention_rows(Context& context, Compute compute, const float* q, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments,
                    float* out);

}  // namespace kvsift

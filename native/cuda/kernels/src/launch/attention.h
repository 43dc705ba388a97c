#pragma once

#include <span>

#include "launch/context.h"
#include "math/attention.h"

namespace kvsift::KVSIFT_TARGET {

using KvSegment = kvsift_cuda_kv_segment;
using AttentionShape = kvsift_cuda_attention_shape;
using ColumnArguments = kvsift_cuda_column_arguments;

/** Rows of one sequence with the rule of what they see; row 0 is packed row `packed`. */
struct SightedRows {
  KvView view;
  Sight sight;
  int packed;
};

/** What the kernels write; each may be null. */
struct AttentionOutputs {
  float* out = nullptr;
  float* log_sum_exp = nullptr;
  float* scores = nullptr;
  std::size_t score_stride = 0;
};

/** @throws Refusal where a view does not hold what its numbers say */
void check_view(const Launch& launch, const KvView& view, const char* name);
void check_shape(const Launch& launch, const AttentionShape& shape, const KvView& view, const std::int32_t* positions);

/** Split-entry kernel, any number of rows. All views have equal heads, head dim and type. */
void run_decode(const Launch& launch, std::span<const SightedRows> parts, const AttentionShape& shape, const float* q, const AttentionOutputs& outputs);

/** True where the tensor-core kernels take this view. */
bool tiles_fit(const KvView& view);
/** Tensor-core kernel. q as elements of the views' type. */
void run_prefill(const Launch& launch, std::span<const SightedRows> parts, const AttentionShape& shape, const void* q, const AttentionOutputs& outputs);
void run_columns(const Launch& launch, const SightedRows& part, const AttentionShape& shape, std::size_t n, bool maximum, const void* q,
                 const float* log_sum_exp, float* out);

// The ops of kvsift_cuda.h.
void attention(const Launch& launch, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape, const std::int32_t* positions,
               float* out, float* log_sum_exp);
void attention_decode(const Launch& launch, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape,
                      const std::int32_t* positions, const AttentionOutputs& outputs);
void attention_columns(const Launch& launch, const float* q, std::size_t rows, const KvView& view, std::size_t n, bool maximum,
                       const ColumnArguments& arguments, float* out);
void attention_rows(const Launch& launch, const float* q, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments,
                    float* out);

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include "launch/context.h"

namespace kvsift::KVSIFT_TARGET {

#ifndef KVSIFT_EMULATED
/** @param target the virtual architecture, as 90, that the code which the current device runs was made from  @return UNSUPPORTED where there is none */
kvsift_cuda_status compiled_for(int& target);
#endif

void rms_norm(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, const float* weight, float epsilon, float weight_offset,
              float* out);
void gated(const Launch& launch, const float* x, std::size_t rows, std::size_t half, kvsift_cuda_activation activation, float* out);
void softcap(const Launch& launch, const float* x, std::size_t count, float cap, float* out);
void rope(const Launch& launch, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, const std::int32_t* positions,
          const float* inverse_frequencies, std::size_t rotary, float scale, float* out);
/** Columns to `count` matrices of their own. */
void split_columns(const Launch& launch, const float* x, std::size_t rows, std::size_t count, const std::size_t* widths, float* const* out);
void sample(const Launch& launch, const float* logits, std::size_t rows, std::size_t vocabulary, const kvsift_cuda_sampling_rule* rules,
            std::int32_t* ids, float* log_probs);

}  // namespace kvsift::KVSIFT_TARGET

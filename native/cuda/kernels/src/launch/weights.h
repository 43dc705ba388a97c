#pragma once

#include "launch/context.h"

namespace kvsift::KVSIFT_TARGET {

using Weight = kvsift_cuda_weight;

/** @throws Refusal where the format is unknown or the columns are not whole blocks */
void check_weight(const Launch& launch, const Weight& weight);
void embedding(const Launch& launch, const Weight& table, const std::int32_t* ids, std::size_t count, float scale, float* out);
void dequantize(const Launch& launch, const Weight& weight, float* out);
/** bf16 [rows, step], zeros behind the columns. */
void widen_to_bf16(const Launch& launch, const Weight& weight, void* out, std::size_t step);
/** Up to 8 rows of x, straight from the stored format. */
void few_row_product(const Launch& launch, const Weight& weight, const float* x, std::size_t rows, const float* bias, const float* residual, float* out);
void linear(const Launch& launch, const Weight& weight, const float* x, std::size_t rows, const float* bias, const float* residual, float* out);

}  // namespace kvsift::KVSIFT_TARGET

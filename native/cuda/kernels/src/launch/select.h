#pragma once

#include "launch/context.h"

namespace kvsift::KVSIFT_TARGET {

void top(const Launch& launch, const kvsift_cuda_top_arguments& arguments, std::int32_t* indices, std::int32_t* offsets);
void top_shares(const Launch& launch, const float* scores, std::size_t heads, std::size_t length, std::size_t total, std::int32_t* out);
void round_shares(const Launch& launch, const float* shares, std::size_t count, std::size_t total, std::size_t cap, std::int32_t* out);
void uniform(const Launch& launch, const kvsift_cuda_random_key& key, std::size_t rows, std::size_t columns, float* out);
void pool(const Launch& launch, kvsift_cuda_pool_kind kind, const float* x, std::size_t rows, std::size_t columns, std::size_t kernel_size, float* out);

}  // namespace kvsift::KVSIFT_TARGET

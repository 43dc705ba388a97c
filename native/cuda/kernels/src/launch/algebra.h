#pragma once

#include "launch/context.h"

namespace kvsift::KVSIFT_TARGET {

void map(const Launch& launch, kvsift_cuda_unary_op op, const float* x, std::size_t count, float* out);
void zip(const Launch& launch, kvsift_cuda_binary_op op, const float* a, const std::size_t* a_steps, const float* b, const std::size_t* b_steps,
         const std::size_t* shape, float* out);
void zip_scalar(const Launch& launch, kvsift_cuda_binary_op op, const float* a, float b, std::size_t count, float* out);
void reduce(const Launch& launch, kvsift_cuda_reduce_op op, const float* x, std::size_t before, std::size_t size, std::size_t after, float* out);
void softmax(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, float* out);
void cumsum(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, float* out);
void rank(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, float* out);
void matmul(const Launch& launch, const kvsift_cuda_matmul_shape& shape, const float* a, kvsift_cuda_dtype type, const void* b,
            float* out);
void copy_pieces(const Launch& launch, const void* from, std::size_t from_stride, void* to, std::size_t to_stride, std::size_t bytes, std::size_t count);
void transpose(const Launch& launch, const void* x, std::size_t size, const std::size_t* shape, const std::size_t* order, void* out);
void to_float(const Launch& launch, kvsift_cuda_dtype type, const void* x, std::size_t count, float* out);
void to_int(const Launch& launch, const float* x, std::size_t count, std::int32_t* out);

}  // namespace kvsift::KVSIFT_TARGET

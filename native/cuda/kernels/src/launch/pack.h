#pragma once

#include "launch/context.h"

namespace kvsift::KVSIFT_TARGET {

/** An even number of floats as elements of `type`, f16 or bf16; `to` on a boundary of 16 bytes. */
void pack_elements(const Launch& launch, kvsift_cuda_dtype type, const float* from, void* to, std::size_t count);

}  // namespace kvsift::KVSIFT_TARGET

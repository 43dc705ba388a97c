#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvsift/context.h"
#include "kvsift/dtype.h"

namespace kvsift {

// The structures of native/cpu/kernels are here those of the C interface: what the launchers fill in goes to the kernels as it is.
using KvView = kvsift_cuda_kv_view;
using KvSegment = kvsift_cuda_kv_segment;

enum class KvPart : std::uint8_t { keys, values };

void kv_append(Context& context, std::span<const KvSegment> segments, const float* k, const float* v, const std::int32_t* positions);
void kv_read(Context& context, const KvView& view, KvPart part, std::size_t first, std::size_t n, float* out);
void kv_replace(Context& context, const KvView& view, KvPart part, std::size_t n, const float* x);

}  // namespace kvsift

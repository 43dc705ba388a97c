#pragma once

#include <span>

#include "launch/context.h"
#include "math/attention.h"

namespace kvsift::KVSIFT_TARGET {

void kv_append(const Launch& launch, std::span<const kvsift_cuda_kv_segment> segments, const float* k, const float* v, const std::int32_t* positions);
void kv_gather(const Launch& launch, const KvView& from, const kvsift_cuda_slot_selection* selection, const KvView& to);
void kv_compact(const Launch& launch, const KvView& view, const kvsift_cuda_slot_selection& selection);
/** Reads n entries of a part, from `first` on, into x, or with `back` overwrites all n with x. */
void kv_copy(const Launch& launch, const KvView& view, kvsift_cuda_kv_part part, std::size_t first, std::size_t n, float* x, bool back);

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include <span>

#include "launch/context.h"
#include "math/attention.h"

namespace kvsift::KVSIFT_TARGET {

/** Bytes of scratch that `guard` needs. */
std::size_t guard_bytes(std::span<const KvView> views);

/**
 * Puts lengths that kernels may trust in the place of the views' own: what lies outside the memory, or is not `exactly` as long as it must be
 * (−1: anything up to the bound of the view), counts as empty and sets a fault.
 * @param room `guard_bytes` of device memory that lives as long as the views are used
 */
void guard(const Launch& launch, std::span<KvView> views, int exactly, std::int32_t* room);

/** Entries of each head that a selection (null: all) keeps, in `kept` [kv_heads] on the device. */
void guard_selection(const Launch& launch, const KvView& from, const kvsift_cuda_slot_selection* selection, const KvView& to, std::int32_t* kept);

}  // namespace kvsift::KVSIFT_TARGET

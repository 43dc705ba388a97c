#pragma once

#include "launch/attention.h"

namespace kvsift::KVSIFT_TARGET {

struct PrefillArguments;
struct ColumnWork;

/** Query rows from which on the kernel for warpgroups is worth it. */
constexpr std::size_t wide_from = 65;

/** True where the kernel for warpgroups (Hopper) takes these caches. */
bool wide_fits(const Launch& launch, const KvView& view, const AttentionShape& shape);
void start_prefill_wide(const Launch& launch, const PrefillArguments& a, int rows, std::size_t pieces);
void start_columns_wide(const Launch& launch, const ColumnWork& a);

}  // namespace kvsift::KVSIFT_TARGET

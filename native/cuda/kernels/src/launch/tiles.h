#pragma once

#include "launch/context.h"
#include "math/attention.h"

namespace kvsift::KVSIFT_TARGET {

struct PrefillArguments;
struct ColumnWork;

/** Starts the prefill or the column kernel, whichever is given. */
template <class Element, int head_dim>
void start_tiles(const Launch& launch, Grid grid, const PrefillArguments* prefill, const ColumnWork* columns);

}  // namespace kvsift::KVSIFT_TARGET

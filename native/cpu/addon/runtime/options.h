#pragma once

#include <cstddef>

#include "kvsift/context.h"
#include "kvsift/weights.h"

namespace kvsift {

/** What a backend is made with. */
struct BackendOptions {
  std::size_t threads = 0;
  Isa isa = best_isa();
  Compute compute = Compute::int8;
  std::size_t memory_limit = 0;
};

}  // namespace kvsift

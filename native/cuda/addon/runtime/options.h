#pragma once

#include <cstddef>

#include "kvsift/weights.h"

namespace kvsift {

/** What a backend is made with. */
struct BackendOptions {
  int device = 0;
  /** Most bytes that tensors may hold; 0: what the device has. */
  std::size_t memory_limit = 0;
  /** Products of many rows on cuBLASLt where it is found. */
  bool cublas = true;
  Compute compute = Compute::bf16;
};

}  // namespace kvsift

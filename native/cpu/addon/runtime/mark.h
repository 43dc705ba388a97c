#pragma once

#include <chrono>
#include <functional>

#include "runtime/failure.h"
#include "runtime/memory.h"

namespace kvsift {

/** When a stream had run everything before, and the memory its tensors held then. */
struct Mark {
  double seconds = 0;
  MemoryUse memory;
};

/** Called with the failure to report or null. */
using MarkFence = std::function<void(const FailurePointer& failure, const Mark& mark)>;

/** Now, as everybody who calls this counts. */
inline double mark_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace kvsift

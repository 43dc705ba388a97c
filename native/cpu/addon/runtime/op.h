#pragma once

#include <functional>
#include <vector>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/** One step of the stream: reads inputs, fills outputs. What an op changes in place is both. Runs more than once where it is recorded. */
struct Op {
  const char* name = "";
  std::vector<StoragePointer> inputs;
  std::vector<StoragePointer> outputs;
  std::function<void(Context&)> run;
  /** False where `run` brings the memory of the outputs along. */
  bool allocates = true;
  /** False where somebody waits for this very op: its failure is no news to `finish`. */
  bool reports = true;
};

/**
 * Runs an op on the executor: sets aside the memory of its outputs first. Where an input has no contents because an earlier op failed, or this one
 * fails, the outputs carry that failure.
 * @return the failure of this very op, or null
 */
FailurePointer execute(Context& context, const Op& op) noexcept;

}  // namespace kvsift

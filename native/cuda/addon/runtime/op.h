#pragma once

#include <cstdint>
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
  /** Enqueues kernels and copies; the executor is in it, the device later. */
  std::function<void(Context&)> run;
  /** False where `run` brings the memory of the outputs along. */
  bool allocates = true;
  /** False where somebody waits for this very op: its failure is no news to `finish`. */
  bool reports = true;
};

/** What became of an op. */
struct Executed {
  /** Its own failure, as far as the host knows. */
  FailurePointer failure;
  /** What only the device will know. */
  CheckPointer check;
};

/**
 * Enqueues an op: sets aside the memory of its outputs first. Where an input has no contents because an earlier op failed, or this one fails, the outputs
 * carry that failure; what only the device will know of the inputs or of this op they carry as checks.
 */
Executed execute(Context& context, const Op& op) noexcept;

/** The outputs of an op have been enqueued: they get the checks of its inputs and its own one. */
void complete(Context& context, const Op& op, const CheckPointer& own);

}  // namespace kvsift

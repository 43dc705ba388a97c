#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/op.h"

namespace kvsift {

/**
 * Ops to run again and again. The first run enqueues them one by one and sets the memory of the results aside; from the second on they are one captured
 * graph. What a program has learned about itself belongs to the executor.
 */
struct Program {
  std::vector<Op> ops;

  struct Capture;
  mutable std::shared_ptr<Capture> capture;
  /** Runs that went op by op, without a failure. */
  mutable int plain_runs = 0;
  /** A capture did not work: it is not tried again. */
  mutable bool plain_for_ever = false;
};

/** What `run_program` tells of each op. */
using Noted = std::function<void(const Op& op, const Executed& done)>;

/** Enqueues a program. `stopping` is looked at between ops. */
void run_program(Context& context, Memory& memory, const Program& program, const std::function<bool()>& stopping, const Noted& noted);

}  // namespace kvsift

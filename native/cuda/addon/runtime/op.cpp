#include "runtime/op.h"

#include <algorithm>
#include <cstdio>

namespace kvsift {

namespace {

/** "1.5 GiB" */
std::string amount(std::size_t bytes) {
  char text[32];
  const char* const units[] = {"bytes", "KiB", "MiB", "GiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  for (; unit < 3 && value >= 1024; unit++) value /= 1024;
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
  return text;
}

FailurePointer no_room(const Context& context, const Op& op, const NoRoom& lack) {
  Failure failure{Code::out_of_memory, op.name,
                  std::string(op.name) + ": there is not enough device memory: " + amount(lack.wanted) + " are wanted, " + amount(lack.free) +
                      " are free. A shorter prompt, fewer prefill rows at a time or a 16-bit cache need less"};
  failure.wanted = lack.wanted;
  failure.available = lack.free;
  // What the op would have held is not counted any more.
  failure.held = context.memory().use().bytes;
  return std::make_shared<const Failure>(std::move(failure));
}

/** True where the device has passed the op and nothing was wrong. */
bool settled(Context& context, const Check& check) { return check.ordinal <= context.passed().load(std::memory_order_acquire) && *check.word == 0; }

}  // namespace

void complete(Context& context, const Op& op, const CheckPointer& own) {
  Checks all;
  const auto add = [&all](const CheckPointer& check) {
    if (std::find(all.begin(), all.end(), check) == all.end()) all.push_back(check);
  };
  for (const StoragePointer& input : op.inputs) {
    std::erase_if(input->checks, [&](const CheckPointer& check) { return settled(context, *check); });
    for (const CheckPointer& check : input->checks) add(check);
  }
  if (own) add(own);
  for (const StoragePointer& output : op.outputs) {
    output->failure = nullptr;
    output->checks = all;
    // The op counts when this is done.
    output->written = context.ordinal() + 1;
  }
}

Executed execute(Context& context, const Op& op) noexcept {
  for (const StoragePointer& input : op.inputs) {
    if (!input->failure) continue;
    const FailurePointer inherited = input->failure;
    for (const StoragePointer& output : op.outputs) output->failure = inherited;
    return {};
  }
  Executed done;
  context.begin(op.name);
  try {
    for (const StoragePointer& input : op.inputs) {
      if (!input->weight && input->data() == nullptr) throw Fault(Code::backend_failure, op.name, std::string(op.name) + ": an input has no memory");
    }
    for (const StoragePointer& output : op.outputs) {
      if (op.allocates && !output->weight) output->ensure();
    }
    op.run(context);
    done.check = context.end();
    if (done.check) done.check->reports = op.reports;
    complete(context, op, done.check);
    return done;
  } catch (const Fault& fault) {
    done.failure = fault.failure();
  } catch (const NoRoom& lack) {
    done.failure = no_room(context, op, lack);
  } catch (const std::bad_alloc&) {
    done.failure = std::make_shared<const Failure>(Failure{Code::out_of_memory, op.name, std::string(op.name) + ": there is not enough host memory"});
  } catch (const std::exception& error) {
    done.failure = std::make_shared<const Failure>(Failure{Code::backend_failure, op.name, std::string(op.name) + ": " + error.what()});
  }
  // Kernels of the op that were enqueued before it failed may still write its word.
  done.check = context.end();
  if (done.check) done.check->reports = false;
  for (const StoragePointer& output : op.outputs) output->failure = done.failure;
  return done;
}

}  // namespace kvsift

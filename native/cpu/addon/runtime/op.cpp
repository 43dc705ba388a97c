#include "runtime/op.h"

#include <new>

namespace kvsift {

FailurePointer execute(Context& context, const Op& op) noexcept {
  for (const StoragePointer& input : op.inputs) {
    if (!input->failure) continue;
    const FailurePointer inherited = input->failure;
    for (const StoragePointer& output : op.outputs) output->failure = inherited;
    return nullptr;
  }
  FailurePointer failure;
  try {
    for (const StoragePointer& input : op.inputs) {
      if (!input->weight && input->data() == nullptr) throw Fault(Code::backend_failure, op.name, std::string(op.name) + ": an input has no memory");
    }
    for (const StoragePointer& output : op.outputs) {
      if (op.allocates && !output->weight) output->ensure();
    }
    op.run(context);
    for (const StoragePointer& output : op.outputs) output->failure = nullptr;
    return nullptr;
  } catch (const Fault& fault) {
    failure = fault.failure();
  } catch (const NoRoom& lack) {
    failure = std::make_shared<const Failure>(
        Failure{Code::out_of_memory, op.name, std::string(op.name) + ": there is not enough memory", lack.wanted, lack.free, lack.held});
  } catch (const std::bad_alloc&) {
    failure = std::make_shared<const Failure>(Failure{Code::out_of_memory, op.name, std::string(op.name) + ": there is not enough memory"});
  } catch (const std::exception& error) {
    failure = std::make_shared<const Failure>(Failure{Code::backend_failure, op.name, std::string(op.name) + ": " + error.what()});
  }
  for (const StoragePointer& output : op.outputs) output->failure = failure;
  return failure;
}

}  // namespace kvsift

#include "kvsift/context.h"

#include <string>
#include <utility>

namespace kvsift {

namespace {

Code code_of(kvsift_cuda_status status) {
  switch (status) {
    case KVSIFT_CUDA_INVALID_ARGUMENT: return Code::invalid_argument;
    case KVSIFT_CUDA_SHAPE_MISMATCH: return Code::shape_mismatch;
    case KVSIFT_CUDA_DTYPE_MISMATCH: return Code::dtype_mismatch;
    case KVSIFT_CUDA_UNSUPPORTED: return Code::unsupported;
    case KVSIFT_CUDA_OUT_OF_MEMORY: return Code::out_of_memory;
    default: return Code::backend_failure;
  }
}

}  // namespace

void Context::watch() {
  if (watched_) return;
  watched_ = true;
  if (capturing_) {
    if (captured_count_ >= captured_room_) throw Fault(Code::backend_failure, op_, std::string(op_) + ": more faults than when the program ran first");
    kvsift_cuda_faults_at(kernels(), captured_words_ + captured_count_++);
    return;
  }
  own_ = std::make_shared<Check>(op_, words_->take());
  kvsift_cuda_faults_at(kernels(), const_cast<std::int32_t*>(own_->word.get()));
}

std::shared_ptr<Check> Context::end() { return std::move(own_); }

void Context::run(kvsift_cuda_status status) const {
  if (status == KVSIFT_CUDA_OK) return;
  if (const std::size_t wanted = kvsift_cuda_wanted(kernels()); status == KVSIFT_CUDA_OUT_OF_MEMORY && wanted > 0) throw NoRoom(wanted, device_->memory().free);
  throw Fault(code_of(status), op_, std::string(op_) + ": " + kvsift_cuda_message(kernels()));
}

void Context::keep(std::shared_ptr<const void> what) {
  if (capturing_) {
    captured_kept_.push_back(std::move(what));
    return;
  }
  let_go();
  // Not a call on the host in stream order: the device would wait for it between two kernels.
  waiting_.push_back({device_->record(), std::move(what)});
}

void Context::let_go() {
  while (!waiting_.empty() && device_->passed(waiting_.front().passed)) waiting_.pop_front();
}

void Context::begin_capture(std::int32_t* words, std::size_t room) {
  capturing_ = true;
  captured_words_ = words;
  captured_room_ = room;
  captured_count_ = 0;
}

Kept Context::end_capture() {
  capturing_ = false;
  return std::exchange(captured_kept_, {});
}

}  // namespace kvsift

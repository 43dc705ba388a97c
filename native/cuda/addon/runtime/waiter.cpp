#include "runtime/waiter.h"

namespace kvsift {

Waiter::Waiter(std::shared_ptr<Device> device) : device_(std::move(device)), thread_([this] { loop(); }) {}

void Waiter::add(Event event, std::function<void(const FailurePointer& device)> then) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(event), std::move(then)});
  }
  wake_.notify_one();
}

void Waiter::end() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Waiter::loop() {
  device_->enter();
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    FailurePointer failure;
    try {
      device_->wait(job.event);
    } catch (const Fault& fault) {
      failure = fault.failure();
    }
    job.then(failure);
  }
}

}  // namespace kvsift

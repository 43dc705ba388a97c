#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/device.h"
#include "runtime/failure.h"

namespace kvsift {

/** A thread that waits for events of the device, one after the other, and runs what waits for them. */
class Waiter {
 public:
  explicit Waiter(std::shared_ptr<Device> device);
  ~Waiter() { end(); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /** @param then gets what the device reported, or null */
  void add(Event event, std::function<void(const FailurePointer& device)> then);
  /** Returns when all that was added has run. */
  void end();

 private:
  struct Job {
    Event event;
    std::function<void(const FailurePointer& device)> then;
  };
  void loop();

  std::shared_ptr<Device> device_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace kvsift

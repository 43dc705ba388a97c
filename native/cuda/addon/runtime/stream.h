#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>

#include "kvsift/context.h"
#include "runtime/mark.h"
#include "runtime/op.h"
#include "runtime/program.h"
#include "runtime/waiter.h"

namespace kvsift {

/** Called when the device has passed everything before it, with the failure to report or null. */
using Fence = std::function<void(const FailurePointer& failure)>;

/**
 * Enqueues ops, programs and fences on the device in submission order, from a thread of its own: the driver may take its time there. A second thread
 * waits for the device. Called from JavaScript's thread only; nothing here waits but `join`.
 */
class Stream {
 public:
  explicit Stream(const BackendOptions& options);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void push(Op op);
  void push(std::shared_ptr<const Program> program);
  /** Lets go of something in stream order. */
  void release(std::shared_ptr<const void> what);
  /** Sees the first failure since the last such fence. */
  void finish(MarkFence fence);
  /** Sees whether the contents of a storage exist. */
  void fence(StoragePointer storage, Fence fence);
  /** Copies the contents of a storage out before the fence; `target` null: there is no memory for them. */
  void read(StoragePointer storage, void* target, Fence fence);
  void reset_peak();

  const std::shared_ptr<Memory>& memory() const { return memory_; }
  std::string description() const { return device_->description(); }
  DeviceMemory device_memory() const { return device_->memory(); }

  /** Skips what has not been enqueued and ends the threads; `stopped` is called there last. Fences that are skipped see `disposed`. */
  void stop(std::function<void()> stopped);
  /** Waits for the thread to end after `stop`. */
  void join();

 private:
  struct FinishTask { MarkFence fence; };
  struct ReadTask { StoragePointer storage; void* target; bool copies; Fence fence; };
  struct ReleaseTask { std::shared_ptr<const void> what; };
  struct ProgramTask { std::shared_ptr<const Program> program; };
  struct ResetTask {};
  using Task = std::variant<Op, ProgramTask, ReleaseTask, FinishTask, ReadTask, ResetTask>;

  void enqueue(Task task);
  void loop();
  bool next(Task& task);
  void rest();
  void run(Task& task);
  void skip(Task& task);
  void note(const Op& op, const Executed& done);
  void finish_now(const FinishTask& task);
  void read_now(const ReadTask& task);
  /** Runs `then` when the device has passed everything so far; it gets the device's own failure or null. */
  void after(std::function<void(const FailurePointer& device)> then);
  void prune();

  std::shared_ptr<Device> device_;
  std::shared_ptr<Memory> memory_;
  Context context_;
  Waiter waiter_;
  /** Of the host, since the last `finish`, and which op it was. */
  FailurePointer first_failure_;
  std::uint64_t first_ordinal_ = 0;
  /** Ops since the last `finish` that only the device can judge. */
  Checks since_finish_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  /** Whether there are tasks; changes under the mutex only. */
  std::atomic<bool> queued_{false};
  std::atomic<bool> stopping_{false};
  std::function<void()> stopped_;
  std::thread thread_;
};

}  // namespace kvsift

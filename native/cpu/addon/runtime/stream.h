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
#include "runtime/options.h"

namespace kvsift {

/** Ops captured once, to run again and again. */
struct Program {
  std::vector<Op> ops;
};

/** Called on the executor when everything before it has run, with the failure to report or null. */
using Fence = std::function<void(const FailurePointer& failure)>;

/**
 * Runs ops, programs and fences in submission order on a thread of its own, which is the only one that touches memory of tensors. Called from
 * JavaScript's thread only; nothing here waits for the executor but `join`.
 */
class Stream {
 public:
  Stream(std::shared_ptr<Memory> memory, std::size_t threads, Isa isa);
  explicit Stream(const BackendOptions& options) : Stream(std::make_shared<Memory>(options.memory_limit), options.threads, options.isa) {}
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

  /** Skips what has not begun and ends the thread; `stopped` is called there last. Fences that are skipped see `disposed`. */
  void stop(std::function<void()> stopped);
  /** Waits for the thread to end after `stop`. */
  void join();

  std::size_t threads() const { return context_->threads(); }
  Isa isa() const { return context_->isa(); }

 private:
  struct FinishTask { MarkFence fence; };
  struct FenceTask { StoragePointer storage; Fence fence; };
  struct ReleaseTask { std::shared_ptr<const void> what; };
  struct ProgramTask { std::shared_ptr<const Program> program; };
  struct ResetTask {};
  using Task = std::variant<Op, ProgramTask, ReleaseTask, FinishTask, FenceTask, ResetTask>;

  void enqueue(Task task);
  void loop();
  bool next(Task& task);
  void run(Task& task);
  void skip(Task& task);
  void note(const Op& op, const FailurePointer& failure);

  std::shared_ptr<Memory> memory_;
  std::unique_ptr<Context> context_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  std::atomic<bool> stopping_{false};
  std::function<void()> stopped_;
  FailurePointer first_failure_;
  std::thread thread_;
};

}  // namespace kvsift

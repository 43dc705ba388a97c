#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>

#include "kvsift/isa.h"

namespace kvsift {

struct KernelTable;

/** CPUs that this process may use: affinity mask, then the cgroup's quota (rounded up), at least 1. */
std::size_t available_threads();

/**
 * What ops run on: a thread pool, scratch memory that grows to the largest op and stays, and the kernels of one instruction set.
 *
 * One op at a time: a context is used by one thread (the stream's). That thread takes part in the work. Workers wait for work by a short spin,
 * then asleep; nothing is pinned. Ops of this library allocate nothing outside the scratch memory.
 */
class Context {
 public:
  /**
   * @param threads threads that compute, the caller's included; 0 means `available_threads()`
   * @param isa must be supported
   */
  explicit Context(std::size_t threads = 0, Isa isa = best_isa());
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  std::size_t threads() const;
  Isa isa() const;
  /** Kernels of the current instruction set (internal). */
  const KernelTable& kernels() const;

  /**
   * While `*flag` is true, ops skip the work that they have not begun and return; their outputs are then undefined. Null: never.
   * The caller looks at its flag after each op.
   */
  void set_cancel(const std::atomic<bool>* flag);
  bool cancelled() const;

  /**
   * Runs `work(begin, end, thread)` over chunks of at most `grain` items of [0, count): each thread has an even share to begin with, in ascending order,
   * the same one in op after op, so that rows stay in its core's cache; one that is done takes chunks of the others' shares;
   * returns when all have run. `thread` is below `threads()`. Must not be nested; `work` must not throw.
   */
  template <class Work>
  void parallel_for(std::size_t count, std::size_t grain, Work&& work) {
    using Plain = std::remove_reference_t<Work>;
    run(count, grain,
        [](void* data, std::size_t begin, std::size_t end, std::size_t thread) { (*static_cast<Plain*>(data))(begin, end, thread); },
        const_cast<void*>(static_cast<const void*>(std::addressof(work))));
  }

  /** Scratch of one thread, 64-byte aligned, valid until its next request. Called by that thread inside `parallel_for`, or by the caller for thread 0. */
  void* thread_scratch(std::size_t thread, std::size_t bytes);

  /** Scratch that all threads may read; several slots (below 9) live side by side. Called outside `parallel_for`; valid until the slot's next request. */
  void* shared_scratch(std::size_t slot, std::size_t bytes);

  /**
   * Memory for something that is read often and stays long, 64-byte aligned. Small pieces share large pages with others; it is freed with the last of
   * them. Does not count as scratch. @throws std::bad_alloc
   */
  std::shared_ptr<std::byte> lasting_memory(std::size_t bytes);

  /** Bytes of scratch held. */
  std::size_t scratch_bytes() const;

  /** Frees the scratch memory. */
  void release_scratch();

 private:
  using Run = void (*)(void* data, std::size_t begin, std::size_t end, std::size_t thread);
  void run(std::size_t count, std::size_t grain, Run work, void* data);
  friend void set_isa(Context& context, Isa isa);

  struct State;
  std::unique_ptr<State> state_;
};

/** Switches a context to another supported instruction set; for tests and comparisons. Packed weights are the same for all. */
void set_isa(Context& context, Isa isa);

}  // namespace kvsift

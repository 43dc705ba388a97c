#include "simt/emulated.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace kvsift::emulated {

namespace {

constexpr std::size_t stack_bytes = 128 * 1024;
constexpr unsigned most_threads = 1024;

/** Threads that wait for each other. */
struct Meeting {
  unsigned members = 0;
  unsigned arrived = 0;
  unsigned generation = 0;
};

/** A copy that has been asked for. Groups are counted from 0. */
struct Copy {
  void* to;
  const void* from;
  bool valid;
  unsigned group;
};

/** A product that has been asked for, likewise. */
struct Product {
  std::function<void()> work;
  unsigned group;
};

struct Thread {
  std::vector<Copy> copies;
  unsigned group = 0;  // that the next copy belongs to
  std::deque<Product> products;
  unsigned product_group = 0;
  ucontext_t start;
  jmp_buf place;
  std::unique_ptr<unsigned char[]> stack;
  bool begun = false;
  bool ended = false;
  bool awaited = false;
};

struct Machine {
  std::vector<Thread> threads{most_threads};
  Meeting block;
  Meeting warps[most_threads / 32];
  alignas(16) unsigned char slots[most_threads / 32][2][32 * 32];
  jmp_buf scheduler;
  ucontext_t scheduler_start;
  unsigned current = 0;
  bool moved = false;
  std::uint32_t turn = 1;
  bool backwards = true;
  bool early = false;
  /** Copies of this block arrive at once, and its products read their operands as late as the waits allow; else the reverse. */
  bool hasty = false;
  void (*body)(void*) = nullptr;
  void* data = nullptr;
};
Machine machine;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "emulated device: %s (block %u %u %u, thread %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z, machine.current);
  std::abort();
}

__attribute__((noinline)) void yield() {
  if (_setjmp(machine.threads[machine.current].place) == 0) _longjmp(machine.scheduler, 1);
}

void open_if_full(Meeting& meeting) {
  if (meeting.arrived == 0 || meeting.arrived < meeting.members) return;
  meeting.arrived = 0;
  meeting.generation++;
  machine.moved = true;
}

void wait(Meeting& meeting) {
  const unsigned generation = meeting.generation;
  meeting.arrived++;
  machine.moved = true;
  open_if_full(meeting);
  while (meeting.generation == generation) yield();
}

void thread_main() {
  machine.body(machine.data);
  Thread& thread = machine.threads[machine.current];
  if (machine.early && !thread.awaited) fail("a kernel that was started early did not await the one before");
  thread.ended = true;
  machine.moved = true;
  machine.block.members--;
  open_if_full(machine.block);
  Meeting& warp = machine.warps[machine.current / 32];
  warp.members--;
  if (warp.arrived > 0) fail("a thread ended while others of its warp wait");
  _longjmp(machine.scheduler, 1);
}

__attribute__((noinline)) void resume(unsigned index) {
  machine.current = index;
  threadIdx = {index, 0, 0};
  Thread& thread = machine.threads[index];
  if (_setjmp(machine.scheduler) != 0) return;
  if (machine.threads[index].begun) _longjmp(thread.place, 1);
  thread.begun = true;
  setcontext(&thread.start);
}

unsigned next_number() {
  machine.turn = machine.turn * 1664525u + 1013904223u;
  return machine.turn >> 8;
}

void run_block(unsigned count) {
  machine.hasty = next_number() % 2 == 0;
  machine.block = {count, 0, 0};
  for (unsigned warp = 0; warp < count / 32; warp++) machine.warps[warp] = {32, 0, 0};
  for (unsigned index = 0; index < count; index++) {
    Thread& thread = machine.threads[index];
    if (!thread.stack) thread.stack = std::make_unique_for_overwrite<unsigned char[]>(stack_bytes);
    thread.begun = thread.ended = thread.awaited = false;
    thread.copies.clear();
    thread.products.clear();
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = thread.stack.get();
    thread.start.uc_stack.ss_size = stack_bytes;
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, thread_main, 0);
  }
  // One warp runs as far as it can before the next one moves, in another order each time: the warps are as far apart as barriers let them be, so that
  // a missing barrier shows.
  unsigned order[most_threads / 32];
  const unsigned warps = count / 32;
  for (unsigned i = 0; i < warps; i++) {
    const unsigned at = next_number() % (i + 1);
    order[i] = order[at];
    order[at] = i;
  }
  for (bool alive = true; alive;) {
    alive = false;
    bool any = false;
    for (unsigned i = 0; i < warps; i++) {
      do {
        machine.moved = false;
        const unsigned start = next_number() % 32;
        for (unsigned lane = 0; lane < 32; lane++) {
          const unsigned index = order[i] * 32 + (start + lane) % 32;
          if (machine.threads[index].ended) continue;
          alive = true;
          resume(index);
        }
        any = any || machine.moved;
      } while (machine.moved);
    }
    if (alive && !any) fail("threads wait for a barrier that the others do not reach");
  }
}

}  // namespace

void await_previous() { machine.threads[machine.current].awaited = true; }

void wait_block() { wait(machine.block); }
void wait_warp() { wait(machine.warps[machine.current / 32]); }

const unsigned char* exchange(const void* value, std::size_t bytes) {
  Meeting& warp = machine.warps[machine.current / 32];
  unsigned char* slots = machine.slots[machine.current / 32][warp.generation % 2];
  std::memcpy(slots + 32 * (machine.current % 32), value, bytes);
  wait(warp);
  return slots;
}

namespace {

void copy_now(const Copy& copy) { store16(copy.to, copy.valid ? load16(copy.from) : Vector16{0, 0, 0, 0}); }

}  // namespace

// Late copies show a missing wait for them, early ones what is overwritten while it is still read.
void copy_async(void* to, const void* from, bool valid) {
  Thread& thread = machine.threads[machine.current];
  const Copy copy{to, from, valid, thread.group};
  if (machine.hasty) return copy_now(copy);
  thread.copies.push_back(copy);
}
void copy_commit() { machine.threads[machine.current].group++; }
void wait_copies(unsigned pending) {
  Thread& thread = machine.threads[machine.current];
  std::size_t done = 0;
  for (; done < thread.copies.size() && thread.copies[done].group + pending < thread.group; done++) {
    copy_now(thread.copies[done]);
  }
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void product_async(std::function<void()> work) {
  if (!machine.hasty) return work();
  Thread& thread = machine.threads[machine.current];
  thread.products.push_back({std::move(work), thread.product_group});
}
void product_commit() { machine.threads[machine.current].product_group++; }
void wait_products(unsigned pending) {
  Thread& thread = machine.threads[machine.current];
  while (!thread.products.empty() && thread.products.front().group + pending < thread.product_group) {
    const std::function<void()> work = std::move(thread.products.front().work);
    thread.products.pop_front();
    work();
  }
}

void run_grid(const LaunchRule& rule, Grid grid, unsigned threads, std::size_t shared_bytes, void (*body)(void*), void* data) {
  if (threads == 0 || threads > most_threads || threads % 32 != 0) fail("a block has 32 to 1024 threads, whole warps");
  if (shared_bytes > rule.most_shared_bytes) fail("too much shared memory");
  // There is one machine, whatever the number of streams.
  static std::mutex taken;
  const std::lock_guard lock(taken);
  machine.early = rule.early;
  machine.body = body;
  machine.data = data;
  gridDim = grid;
  blockDim = {threads, 1, 1};
  // What a kernel reads before it wrote it must not look like a number.
  const auto shared = std::make_unique<unsigned char[]>(shared_bytes + 16);
  dynamic_shared_memory = shared.get() + (16 - reinterpret_cast<std::uintptr_t>(shared.get()) % 16) % 16;
  // Every second launch runs its blocks backwards: no block may need another.
  machine.backwards = !machine.backwards;
  const unsigned blocks = grid.x * grid.y * grid.z;
  for (unsigned i = 0; i < blocks; i++) {
    const unsigned block = machine.backwards ? blocks - 1 - i : i;
    blockIdx = {block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y};
    std::memset(dynamic_shared_memory, 0xff, shared_bytes);
    run_block(threads);
  }
}

}  // namespace kvsift::emulated

#include "simt/emulated.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <memory>
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

struct Thread {
  ucontext_t start;
  jmp_buf place;
  std::unique_ptr<unsigned char[]> stack;
  bool begun = false;
  bool ended = false;
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

void run_block(unsigned count) {
  machine.block = {count, 0, 0};
  for (unsigned warp = 0; warp < count / 32; warp++) machine.warps[warp] = {32, 0, 0};
  for (unsigned index = 0; index < count; index++) {
    Thread& thread = machine.threads[index];
    if (!thread.stack) thread.stack = std::make_unique_for_overwrite<unsigned char[]>(stack_bytes);
    thread.begun = thread.ended = false;
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = thread.stack.get();
    thread.start.uc_stack.ss_size = stack_bytes;
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, thread_main, 0);
  }
  for (bool alive = true; alive;) {
    alive = false;
    machine.moved = false;
    for (unsigned index = 0; index < count; index++) {
      if (machine.threads[index].ended) continue;
      alive = true;
      resume(index);
    }
    if (alive && !machine.moved) fail("threads wait for a barrier that the others do not reach");
  }
}

}  // namespace

void wait_block() { wait(machine.block); }
void wait_warp() { wait(machine.warps[machine.current / 32]); }

const unsigned char* exchange(const void* value, std::size_t bytes) {
  Meeting& warp = machine.warps[machine.current / 32];
  unsigned char* slots = machine.slots[machine.current / 32][warp.generation % 2];
  std::memcpy(slots + 32 * (machine.current % 32), value, bytes);
  wait(warp);
  return slots;
}

void run_grid(Grid grid, unsigned threads, std::size_t shared_bytes, void (*body)(void*), void* data) {
  if (threads == 0 || threads > most_threads || threads % 32 != 0) fail("a block has 32 to 1024 threads, whole warps");
  if (shared_bytes > 101376) fail("a block has at most 99 KB of shared memory");
  machine.body = body;
  machine.data = data;
  gridDim = grid;
  blockDim = {threads, 1, 1};
  // What a kernel reads before it wrote it must not look like a number.
  const auto shared = std::make_unique<unsigned char[]>(shared_bytes + 16);
  dynamic_shared_memory = shared.get() + (16 - reinterpret_cast<std::uintptr_t>(shared.get()) % 16) % 16;
  for (unsigned z = 0; z < grid.z; z++) {
    for (unsigned y = 0; y < grid.y; y++) {
      for (unsigned x = 0; x < grid.x; x++) {
        blockIdx = {x, y, z};
        std::memset(dynamic_shared_memory, 0xff, shared_bytes);
        run_block(threads);
      }
    }
  }
}

}  // namespace kvsift::emulated

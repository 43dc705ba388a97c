#include "kvsift/context.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "kernel_table.h"
#include "lasting_memory.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace kvsift {

namespace {

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/** Pauses before a waiting thread goes to sleep: some 20 to 50 microseconds, about the gap between two ops of a decode step. */
constexpr int spins = 1500;

int current_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

/**
 * Moves the calling thread off a CPU and leaves it free again to go anywhere it might before. A worker is often woken onto the CPU of the thread that
 * wakes it, and where the others are busy with something of lower priority the system lets both share it.
 */
void leave_cpu(int cpu) {
#if defined(__linux__)
  cpu_set_t allowed;
  if (cpu < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<std::size_t>(cpu), &others);
  if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
#else
  (void)cpu;
#endif
}

/** Memory that only grows, 64-byte aligned. */
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::free(data_); }

  void* request(std::size_t bytes) {
    if (bytes > bytes_) {
      release();
      const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
      data_ = std::aligned_alloc(64, rounded);
      if (data_ == nullptr) throw std::bad_alloc();
      bytes_ = rounded;
    }
    return data_;
  }

  void release() {
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace

struct Context::State {
  Isa isa = Isa::portable;
  const KernelTable* kernels = nullptr;
  const std::atomic<bool>* cancel = nullptr;

  // The job: written while closed and nobody is inside.
  Run work = nullptr;
  void* data = nullptr;
  std::size_t grain = 1;
  std::atomic<int> caller_cpu{-1};
  /** What each thread begins with; who is done takes from the others'. */
  struct alignas(64) Share {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };
  std::vector<Share> shares;
  alignas(64) std::atomic<std::uint32_t> inside{0};
  alignas(64) std::atomic<bool> open{false};
  alignas(64) std::atomic<std::uint32_t> epoch{0};
  std::atomic<bool> stop{false};

  std::vector<std::thread> workers;
  std::vector<Scratch> thread_scratch;
  std::array<Scratch, 9> shared_scratch;
  LastingMemory lasting;

  explicit State(std::size_t threads) : shares(threads), thread_scratch(threads) {}

  void take_chunks(std::size_t thread) {
    for (std::size_t turn = 0; turn < shares.size(); turn++) {
      Share& share = shares[(thread + turn) % shares.size()];
      // A look first: many threads that have nothing left must not write to each other's lines.
      while (share.next.load(std::memory_order_relaxed) < share.end) {
        const std::size_t begin = share.next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= share.end) break;
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) continue;
        const int cpu = current_cpu();
        if (thread == 0) caller_cpu.store(cpu, std::memory_order_relaxed);
        else if (cpu == caller_cpu.load(std::memory_order_relaxed)) leave_cpu(cpu);
        work(data, begin, std::min(share.end, begin + grain), thread);
      }
    }
  }

  void serve(std::size_t thread) {
    std::uint32_t seen = 0;
    while (!stop.load()) {
      std::uint32_t now = epoch.load();
      for (int spin = 0; now == seen && spin < spins; spin++) {
        relax();
        now = epoch.load(std::memory_order_relaxed);
      }
      if (now == seen) {
        epoch.wait(seen);
        continue;
      }
      seen = now;
      inside.fetch_add(1);
      // The job may be over already; while it is open its fields stay as they are until we leave.
      if (open.load()) take_chunks(thread);
      if (inside.fetch_sub(1) == 1) inside.notify_one();
    }
  }
};

Context::Context(std::size_t threads, Isa isa) {
  if (threads == 0) threads = available_threads();
  state_ = std::make_unique<State>(threads);
  set_isa(*this, isa);
  for (std::size_t thread = 1; thread < threads; thread++) {
    state_->workers.emplace_back([state = state_.get(), thread] { state->serve(thread); });
  }
}

Context::~Context() {
  state_->stop = true;
  state_->epoch.fetch_add(1);
  state_->epoch.notify_all();
  for (auto& worker : state_->workers) worker.join();
}

std::size_t Context::threads() const { return state_->thread_scratch.size(); }
Isa Context::isa() const { return state_->isa; }
const KernelTable& Context::kernels() const { return *state_->kernels; }
void Context::set_cancel(const std::atomic<bool>* flag) { state_->cancel = flag; }
bool Context::cancelled() const { return state_->cancel != nullptr && state_->cancel->load(std::memory_order_relaxed); }

void set_isa(Context& context, Isa isa) {
  context.state_->isa = isa;
  context.state_->kernels = &kernel_table(isa);
}

void Context::run(std::size_t count, std::size_t grain, Run work, void* data) {
  if (count == 0) return;
  State& state = *state_;
  grain = std::max<std::size_t>(grain, 1);
  if (state.workers.empty() || count <= grain) {
    for (std::size_t begin = 0; begin < count && !cancelled(); begin += grain) {
      work(data, begin, std::min(count, begin + grain), 0);
    }
    return;
  }
  state.work = work;
  state.data = data;
  state.grain = grain;
  const std::size_t pieces = (count + grain - 1) / grain;
  for (std::size_t share = 0; share < state.shares.size(); share++) {
    state.shares[share].next.store(pieces * share / state.shares.size() * grain, std::memory_order_relaxed);
    state.shares[share].end = std::min(count, pieces * (share + 1) / state.shares.size() * grain);
  }
  state.open.store(true);
  state.epoch.fetch_add(1);
  state.epoch.notify_all();
  state.take_chunks(0);
  state.open.store(false);
  for (int spin = 0; spin < spins && state.inside.load() != 0; spin++) relax();
  // Asleep, this thread leaves its core to a worker that lost its own to another process.
  for (std::uint32_t inside = state.inside.load(); inside != 0; inside = state.inside.load()) state.inside.wait(inside);
}

void* Context::thread_scratch(std::size_t thread, std::size_t bytes) { return state_->thread_scratch[thread].request(bytes); }
void* Context::shared_scratch(std::size_t slot, std::size_t bytes) { return state_->shared_scratch[slot].request(bytes); }

std::shared_ptr<std::byte> Context::lasting_memory(std::size_t bytes) { return state_->lasting.take(bytes); }

std::size_t Context::scratch_bytes() const {
  std::size_t bytes = 0;
  for (const auto& scratch : state_->thread_scratch) bytes += scratch.bytes();
  for (const auto& scratch : state_->shared_scratch) bytes += scratch.bytes();
  return bytes;
}

void Context::release_scratch() {
  for (auto& scratch : state_->thread_scratch) scratch.release();
  for (auto& scratch : state_->shared_scratch) scratch.release();
}

}  // namespace kvsift

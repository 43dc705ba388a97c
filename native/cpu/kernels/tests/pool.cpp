#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>

#include "check.h"

namespace kvsift::tests {

namespace {

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

void test_pool() {
  check(available_threads() >= 1 && available_threads() <= std::thread::hardware_concurrency(), "available_threads is within the machine");
  for (const std::size_t threads : {1, 2, 5}) {
    Context context(threads);
    check(context.threads() == threads, "threads as asked");
    bool right = true;
    for (int round = 0; round < 2000; round++) {
      const auto count = static_cast<std::size_t>(round % 37);
      std::vector<std::atomic<int>> seen(count);
      context.parallel_for(count, 1 + static_cast<std::size_t>(round % 5), [&](std::size_t begin, std::size_t end, std::size_t thread) {
        if (thread >= threads || end > count) return;
        for (std::size_t i = begin; i < end; i++) seen[i]++;
      });
      for (const auto& times : seen) right = right && times == 1;
    }
    check(right, "every item once with " + std::to_string(threads) + " threads");
  }
  Context context(2);
  const std::atomic<bool> stop{true};
  context.set_cancel(&stop);
  std::atomic<int> done = 0;
  context.parallel_for(100, 1, [&](std::size_t, std::size_t, std::size_t) { done++; });
  check(done == 0 && context.cancelled(), "a cancelled context skips work");
  context.set_cancel(nullptr);
  context.parallel_for(100, 1, [&](std::size_t, std::size_t, std::size_t) { done++; });
  check(done == 100, "and works again");

  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  check(processor_seconds() - before < 0.1, "an idle pool does not spin");

  auto* bytes = static_cast<char*>(context.thread_scratch(1, 1000));
  check(reinterpret_cast<std::uintptr_t>(bytes) % 64 == 0 && context.scratch_bytes() >= 1000, "scratch is aligned and counted");
  context.release_scratch();
  check(context.scratch_bytes() == 0, "scratch is given back");
}

}  // namespace kvsift::tests

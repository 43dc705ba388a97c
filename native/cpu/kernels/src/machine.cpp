#include "kvsift/machine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernel_table.h"
#include "lasting_memory.h"

namespace kvsift {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/** Best rate (per second) of `work`, which returns what it did, within the time; at least three rounds. */
template <class Work>
double best_rate(double seconds, Work work) {
  double best = 0;
  const double end = now() + seconds;
  for (int round = 0; round < 3 || now() < end; round++) {
    const double begin = now();
    const double done = work();
    best = std::max(best, done / (now() - begin));
  }
  return best;
}

/** All threads at once for about a millisecond. */
double arithmetic_rate(Context& context, double (*kernel)(std::size_t), double seconds) {
  if (kernel == nullptr) return 0;
  const std::size_t pieces = 8 * context.threads();
  return best_rate(seconds, [&] {
    double each = 0;
    context.parallel_for(pieces, 1, [&](std::size_t, std::size_t, std::size_t thread) {
      const double done = kernel(10000);
      if (thread == 0) each = done;
    });
    return each * static_cast<double>(pieces);
  });
}

}  // namespace

double measure_read_bandwidth(Context& context, std::size_t bytes, double seconds) {
  const auto memory = allocate_aligned(bytes);
  std::memset(memory.get(), 1, bytes);
  const std::size_t threads = context.threads();
  const std::size_t share = bytes / threads / 4096 * 4096;
  const std::size_t repeats = std::max<std::size_t>(1, (std::size_t{16} << 20) / std::max<std::size_t>(bytes, 1));
  const auto read = context.kernels().limits.read;
  // Shares are tied to their index, so a small one stays in the cache of the thread that usually takes it.
  return 1e-9 * best_rate(seconds, [&] {
    context.parallel_for(threads, 1, [&](std::size_t index, std::size_t, std::size_t) {
      for (std::size_t repeat = 0; repeat < repeats; repeat++) read(memory.get() + index * share, share);
    });
    return static_cast<double>(share * threads * repeats);
  });
}

MachineLimits measure_machine(Context& context, double seconds) {
  const LimitKernels& kernels = context.kernels().limits;
  const double each = seconds / 6;
  MachineLimits limits;
  limits.f32_gflops = 1e-9 * arithmetic_rate(context, kernels.multiply_add, each);
  limits.bf16_gflops = 1e-9 * arithmetic_rate(context, kernels.bf16_dot, each);
  limits.int8_gops = 1e-9 * arithmetic_rate(context, kernels.byte_dot, each);
  limits.l2_gbytes = measure_read_bandwidth(context, context.threads() * (std::size_t{384} << 10), each);
  limits.l3_gbytes = measure_read_bandwidth(context, std::size_t{12} << 20, each);
  limits.memory_gbytes = measure_read_bandwidth(context, std::size_t{256} << 20, each);
  return limits;
}

}  // namespace kvsift

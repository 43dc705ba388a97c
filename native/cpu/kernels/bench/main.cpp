// Prints one JSON line per kernel and shape: time, rate and share of the limit of the machine that was measured in the same run.
// Arguments: [--quick] [--threads n] [--isa name] [part of a name ...]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../tests/random_blocks.h"
#include "kernel_table.h"
#include "kvsift/attention.h"
#include "kvsift/feed_forward.h"
#include "kvsift/linear.h"
#include "kvsift/machine.h"
#include "kvsift/rows.h"
#include "lasting_memory.h"

namespace {

using namespace kvsift;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Bench {
  Context& context;
  MachineLimits limits;
  std::vector<std::string> filters;
  double seconds;

  bool wants(const std::string& name) const {
    return filters.empty() || std::any_of(filters.begin(), filters.end(), [&](const std::string& filter) { return name.find(filter) != std::string::npos; });
  }

  /** Median and best time of repeated calls. */
  template <class Work>
  void run(const std::string& name, double amount, double limit, const char* unit, Work work) {
    if (!wants(name)) return;
    std::vector<double> times;
    work();
    for (const double end = now() + seconds; times.size() < 5 || now() < end;) {
      const double begin = now();
      work();
      times.push_back(now() - begin);
    }
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2];
    std::printf("{\"name\":\"%s\",\"microseconds\":%.1f,\"best_microseconds\":%.1f,\"rate\":%.1f,\"unit\":\"%s\",\"share\":%.3f,\"best_share\":%.3f}\n", name.c_str(),
                median * 1e6, times[0] * 1e6, amount / median * 1e-9, unit, amount / median * 1e-9 / limit, amount / times[0] * 1e-9 / limit);
    std::fflush(stdout);
  }
};

std::vector<float> values(std::size_t count) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (auto& value : out) value = normal(generator);
  return out;
}

struct Weight {
  std::vector<std::uint8_t> stored;
  PackedWeight packed;
};

Weight weight(Context& context, DType type, std::size_t rows, std::size_t columns, Compute compute) {
  std::vector<std::uint8_t> stored = tests::random_rows(type, rows, columns, 1);
  const WeightSource source{type, stored.data(), rows, columns, nullptr};
  PackedWeight packed(context, std::span(&source, 1), compute);
  return {std::move(stored), std::move(packed)};
}

void bench_linear(Bench& bench) {
  struct Shape {
    DType type;
    Compute compute;
    std::size_t rows, columns;
  };
  const Shape shapes[] = {
      {DType::q4_1, Compute::int8, 3072, 576}, {DType::q4_1, Compute::int8, 576, 1536}, {DType::q4_0, Compute::int8, 3072, 576},
      {DType::q8_0, Compute::int8, 3072, 576}, {DType::q6_k, Compute::int8, 2048, 2048}, {DType::bf16, Compute::int8, 3072, 576},
      {DType::q4_1, Compute::f32, 3072, 576},  {DType::q8_0, Compute::int8, 8192, 2048},
  };
  const bool many_as_pairs = bench.context.kernels().products.unpack_pairs != nullptr;
  for (const auto& [type, compute, rows, columns] : shapes) {
    const std::string name = std::string(dtype_name(type)) + (compute == Compute::f32 ? " f32 " : " fast ") + std::to_string(rows) + "x" + std::to_string(columns);
    if (!bench.wants("linear " + name + " m512") && !bench.wants("decode " + name + " m1") && !bench.wants("decode " + name + " m8")) continue;
    const std::size_t tokens = 512;
    const Weight one = weight(bench.context, type, rows, columns, compute);
    const std::vector<float> x = values(tokens * columns);
    std::vector<float> out(tokens * rows);
    const double limit = compute == Compute::f32 ? bench.limits.f32_gflops : type == DType::bf16 || many_as_pairs ? bench.limits.bf16_gflops : bench.limits.int8_gops;
    bench.run("linear " + name + " m512", 2.0 * tokens * static_cast<double>(rows * columns), limit, "GOP/s",
              [&] { linear(bench.context, compute, one.packed, x.data(), tokens, false, nullptr, nullptr, out.data()); });
    // Decoding reads weights that left the caches: many copies in turn.
    const std::size_t copies = std::max<std::size_t>(2, (std::size_t{160} << 20) / one.packed.bytes());
    std::vector<Weight> many;
    for (std::size_t i = 0; i < copies && (bench.wants("decode " + name + " m1") || bench.wants("decode " + name + " m8")); i++) many.push_back(weight(bench.context, type, rows, columns, compute));
    for (const std::size_t batch : {1, 8}) {
      bench.run("decode " + name + " m" + std::to_string(batch), static_cast<double>(one.packed.bytes() * copies), bench.limits.memory_gbytes, "GB/s", [&] {
        for (const auto& each : many) linear(bench.context, compute, each.packed, x.data(), batch, true, nullptr, nullptr, out.data());
      });
    }
  }
}

/** The feed-forward block of SmolLM2: as one op, and as those that it stands for. */
void bench_feed_forward(Bench& bench) {
  constexpr std::size_t tokens = 512;
  constexpr std::size_t hidden = 576;
  constexpr std::size_t inner = 1536;
  constexpr double amount = 2.0 * tokens * 3 * hidden * inner;
  if (!bench.wants("feed forward q4_1 m512")) return;
  Context& context = bench.context;
  const Weight gate_up = weight(context, DType::q4_1, 2 * inner, hidden, Compute::int8);
  const Weight down = weight(context, DType::q4_1, hidden, inner, Compute::int8);
  const std::vector<float> norm(hidden, 1.0F);
  // On whole cache lines, as tensors lie: what is bf16 between the products is loaded by rows of 64 bytes.
  const auto floats = [](std::size_t count) { return std::reinterpret_pointer_cast<float>(allocate_aligned(count * sizeof(float))); };
  const auto x = floats(tokens * hidden), normed = floats(tokens * hidden), middle = floats(tokens * inner), out = floats(tokens * hidden);
  std::ranges::copy(values(tokens * hidden), x.get());
  const FeedForward part{norm.data(), 1e-5F, 0, gate_up.packed, down.packed, nullptr, nullptr, Activation::silu};
  const double limit = context.kernels().products.unpack_pairs != nullptr ? bench.limits.bf16_gflops : bench.limits.int8_gops;
  bench.run("feed forward q4_1 m512", amount, limit, "GOP/s", [&] { feed_forward(context, Compute::int8, part, {x.get(), tokens, false, x.get(), normed.get(), middle.get(), out.get()}); });
  bench.run("feed forward q4_1 m512 op by op", amount, limit, "GOP/s", [&] {
    rms_norm(context, x.get(), tokens, hidden, norm.data(), 1e-5F, 0, normed.get());
    gated_linear(context, Compute::int8, gate_up.packed, normed.get(), tokens, false, nullptr, Activation::silu, middle.get());
    linear(context, Compute::int8, down.packed, middle.get(), tokens, false, nullptr, x.get(), out.get());
  });
}

struct Cache {
  std::vector<std::uint16_t> keys, values;
  std::vector<std::int32_t> lengths, starts;
  KvView view;

  Cache(DType type, std::size_t heads, std::size_t n, std::size_t dim) : keys(heads * n * dim), values(heads * n * dim), lengths(heads, static_cast<std::int32_t>(n)) {
    std::mt19937 generator(3);
    std::normal_distribution<float> normal;
    for (auto& value : keys) value = type == DType::f16 ? f32_to_f16(normal(generator)) : f32_to_bf16(normal(generator));
    values = keys;
    for (std::size_t g = 0; g < heads; g++) starts.push_back(static_cast<std::int32_t>(g * n));
    view = {type, heads, dim, keys.data(), values.data(), lengths.data(), starts.data(), nullptr, nullptr, 0, 0};
  }
};

void bench_attention(Bench& bench) {
  for (const DType type : {DType::bf16, DType::f16}) {
    for (const std::size_t n : {512, 4096}) {
      const std::size_t heads = 3;
      const std::size_t group = 3;
      const std::size_t dim = 64;
      const std::string name = std::string(dtype_name(type)) + " n" + std::to_string(n);
      Cache cache(type, heads, n, dim);
      const AttentionShape shape{heads * group, 0.125F, 0, 0};
      const std::vector<float> q = values(n * heads * group * dim);
      std::vector<float> out(q.size());
      std::vector<float> lse(n * heads * group);
      const double pairs = static_cast<double>(n) * static_cast<double>(n + 1) / 2 * static_cast<double>(heads * group * dim);
      for (const Compute compute : {Compute::int8, Compute::f32}) {
        if (compute == Compute::f32 && n > 512) continue;
        const double limit = compute == Compute::f32 ? bench.limits.f32_gflops : bench.limits.bf16_gflops;
        const std::string mode = compute == Compute::f32 ? " f32" : " fast";
        const KvSegment segment{cache.view, n};
        bench.run("attention " + name + mode, 4 * pairs, limit, "GFLOP/s",
                  [&] { attention(bench.context, compute, std::span(&segment, 1), q.data(), shape, nullptr, out.data(), lse.data()); });
        if (n > 512) {
          const AttentionShape wide{heads * group, 2.0F, 0, 0};
          bench.run("attention " + name + mode + " wide logits", 4 * pairs, limit, "GFLOP/s",
                    [&] { attention(bench.context, compute, std::span(&segment, 1), q.data(), wide, nullptr, out.data(), nullptr); });
        }
        if (n > 512) {
          // As prompts are read: a chunk of rows behind many entries.
          const std::size_t chunk = 512;
          const float* last = q.data() + (n - chunk) * heads * group * dim;
          const KvSegment rows{cache.view, chunk};
          const double seen = static_cast<double>(chunk) * static_cast<double>(n - chunk / 2) * static_cast<double>(heads * group * dim);
          std::vector<float> sums(heads * group * n);
          bench.run("attention " + name + mode + " last 512", 4 * seen, limit, "GFLOP/s",
                    [&] { attention(bench.context, compute, std::span(&rows, 1), last, shape, nullptr, out.data(), nullptr); });
          bench.run("attention " + name + mode + " last 512 with column sums", 4 * seen, limit, "GFLOP/s", [&] {
            attention_with_columns(bench.context, compute, cache.view, chunk, last, shape, nullptr, out.data(), lse.data(), n, sums.data(), n);
          });
        }
        ColumnArguments arguments;
        arguments.shape = shape;
        arguments.log_sum_exp = lse.data();
        std::vector<float> columns(heads * group * n);
        bench.run("columns " + name + mode, 2 * pairs, limit, "GFLOP/s", [&] {
          attention_columns(bench.context, compute, q.data(), n, cache.view, n, ColumnStatistic::sum, arguments, columns.data());
        });
      }
      std::vector<Cache> layers;
      for (int layer = 0; layer < 30; layer++) layers.emplace_back(type, heads, n, dim);
      bench.run("attention decode " + name + " 30 layers", 30.0 * 4 * static_cast<double>(heads * n * dim), bench.limits.memory_gbytes, "GB/s", [&] {
        for (const auto& layer : layers) {
          const KvSegment segment{layer.view, 1};
          attention(bench.context, Compute::int8, std::span(&segment, 1), q.data(), shape, nullptr, out.data(), nullptr);
        }
      });
    }
  }
}

/** What CriticalKV asks of a layer of SmolLM2: norms of 4,096 projected values. */
void bench_projection(Bench& bench) {
  constexpr std::size_t entries = 4096;
  constexpr std::size_t hidden = 576;
  constexpr std::size_t kv_heads = 3;
  constexpr std::size_t dim = 64;
  const std::vector<float> x = values(kv_heads * entries * dim);
  std::vector<float> out(hidden / dim * entries);
  for (const Compute compute : {Compute::int8, Compute::f32}) {
    const std::string name = std::string("projected norms q4_1 n4096") + (compute == Compute::f32 ? " f32" : " fast");
    if (!bench.wants(name)) continue;
    const Weight output = weight(bench.context, DType::q4_1, hidden, hidden, compute);
    const double limit = compute == Compute::f32 || !bench.context.kernels().products.bf16 ? bench.limits.f32_gflops : bench.limits.bf16_gflops;
    bench.run(name, 2.0 * entries * hidden * hidden, limit, "GFLOP/s",
              [&] { projected_norms(bench.context, compute, output.packed, {x.data(), kv_heads, entries, dim}, Norm::l1, out.data()); });
  }
}

void bench_rows(Bench& bench) {
  const std::size_t rows = 512;
  const std::vector<float> x = values(rows * 3072);
  const std::vector<float> weight = values(3072);
  std::vector<float> out(rows * 3072);
  std::vector<std::int32_t> positions(rows);
  for (std::size_t i = 0; i < rows; i++) positions[i] = static_cast<std::int32_t>(i * 13);
  const double limit = bench.limits.l3_gbytes;
  bench.run("rms_norm 512x576", 8.0 * rows * 576, limit, "GB/s", [&] { rms_norm(bench.context, x.data(), rows, 576, weight.data(), 1e-5F, 0, out.data()); });
  bench.run("silu 512x1536", 12.0 * rows * 1536, limit, "GB/s", [&] { gated(bench.context, x.data(), rows, 1536, Activation::silu, out.data()); });
  bench.run("rope 512x9x64", 8.0 * rows * 576, limit, "GB/s", [&] { rope(bench.context, x.data(), rows, 9, 64, positions.data(), weight.data(), 64, 1, out.data()); });
  bench.run("dispatch 2 chunks", 1, 1, "G/s", [&] { bench.context.parallel_for(2, 1, [](std::size_t, std::size_t, std::size_t) {}); });
}

/** A whole decode step of SmolLM2-135M without its glue: how fast tokens could come. */
void bench_step(Bench& bench) {
  if (!bench.wants("step")) return;
  std::vector<Weight> weights;
  for (int layer = 0; layer < 30; layer++) {
    for (const auto& [rows, columns] : {std::pair<std::size_t, std::size_t>{960, 576}, {576, 576}, {3072, 576}, {576, 1536}}) {
      weights.push_back(weight(bench.context, DType::q4_1, rows, columns, Compute::int8));
    }
  }
  weights.push_back(weight(bench.context, DType::q8_0, 49152, 576, Compute::int8));
  double bytes = 0;
  for (const auto& each : weights) bytes += static_cast<double>(each.packed.bytes());
  const std::vector<float> x = values(8 * 1536);
  std::vector<float> out(8 * 49152);
  for (const std::size_t batch : {1, 8}) {
    bench.run("step smollm2 linear m" + std::to_string(batch), bytes, bench.limits.memory_gbytes, "GB/s", [&] {
      for (const auto& each : weights) linear(bench.context, Compute::int8, each.packed, x.data(), batch, true, nullptr, nullptr, out.data());
    });
  }
}

}  // namespace

int main(int count, char** words) {
  std::size_t threads = 0;
  Isa isa = best_isa();
  std::vector<std::string> filters;
  bool quick = false;
  for (int i = 1; i < count; i++) {
    if (std::strcmp(words[i], "--quick") == 0) quick = true;
    else if (std::strcmp(words[i], "--threads") == 0 && i + 1 < count) threads = std::stoul(words[++i]);
    else if (std::strcmp(words[i], "--isa") == 0 && i + 1 < count) {
      if (!isa_from_name(words[++i], isa) || !isa_supported(isa)) {
        std::fprintf(stderr, "this machine cannot run '%s'\n", words[i]);
        return 2;
      }
    } else filters.emplace_back(words[i]);
  }
  Context context(threads, isa);
  const MachineLimits limits = measure_machine(context, quick ? 0.6 : 2);
  std::printf("{\"name\":\"machine\",\"isa\":\"%s\",\"threads\":%zu,\"f32_gflops\":%.0f,\"bf16_gflops\":%.0f,\"int8_gops\":%.0f,\"l2_gbytes\":%.0f,\"l3_gbytes\":%.0f,\"memory_gbytes\":%.0f}\n",
              isa_name(isa), context.threads(), limits.f32_gflops, limits.bf16_gflops, limits.int8_gops, limits.l2_gbytes, limits.l3_gbytes, limits.memory_gbytes);
  Bench bench{context, limits, filters, quick ? 0.05 : 0.5};
  bench_linear(bench);
  bench_feed_forward(bench);
  bench_attention(bench);
  bench_projection(bench);
  bench_rows(bench);
  bench_step(bench);
  return 0;
}

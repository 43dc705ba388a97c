#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kvsift_cuda.h"

// One JSON line per kernel and shape: time, what it achieved, and its share of the limit measured in the same run. Needs a device.

namespace {

[[noreturn]] void stop(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  std::exit(1);
}

void run(cudaError_t error) {
  if (error != cudaSuccess) stop(cudaGetErrorString(error));
}

kvsift_cuda_context* context = nullptr;
cudaStream_t stream = nullptr;

void good(kvsift_cuda_status status) {
  if (status != KVSIFT_CUDA_OK) stop(kvsift_cuda_message(context));
}

template <class T>
class Device {
 public:
  explicit Device(std::size_t count) { run(cudaMalloc(&data_, std::max<std::size_t>(1, count * sizeof(T)))); }
  explicit Device(const std::vector<T>& values) : Device(values.size()) {
    run(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { cudaFree(data_); }
  T* get() const { return static_cast<T*>(data_); }

 private:
  void* data_ = nullptr;
};

/** Median seconds of a call, device time. */
double seconds(const std::function<void()>& call) {
  cudaEvent_t begin, end;
  run(cudaEventCreate(&begin));
  run(cudaEventCreate(&end));
  for (int i = 0; i < 3; i++) call();
  std::vector<float> times;
  for (int i = 0; i < 21; i++) {
    run(cudaEventRecord(begin, stream));
    call();
    run(cudaEventRecord(end, stream));
    run(cudaEventSynchronize(end));
    float milliseconds = 0;
    run(cudaEventElapsedTime(&milliseconds, begin, end));
    times.push_back(milliseconds);
  }
  run(cudaEventDestroy(begin));
  run(cudaEventDestroy(end));
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10] / 1e3;
}

void report(const std::string& kernel, const std::string& shape, double time, double amount, const char* unit, double limit) {
  std::printf("{\"kernel\":\"%s\",\"shape\":\"%s\",\"ms\":%.4f,\"achieved\":%.2f,\"unit\":\"%s\",\"share\":%.3f}\n", kernel.c_str(), shape.c_str(), time * 1e3,
              amount / time / 1e9, unit, limit > 0 ? amount / time / 1e9 / limit : 0.0);
  std::fflush(stdout);
}

/** A bf16 cache of random entries. */
struct Cache {
  Cache(const std::vector<int>& lengths, std::size_t head_dim)
      : rows(static_cast<std::size_t>(std::accumulate(lengths.begin(), lengths.end(), 0))), keys(random(rows * head_dim)), values(random(rows * head_dim)),
        lengths_(std::vector<std::int32_t>(lengths.begin(), lengths.end())), starts_(begins(lengths)) {
    view.type = KVSIFT_CUDA_BF16;
    view.kv_heads = lengths.size();
    view.head_dim = head_dim;
    view.keys = keys.get();
    view.values = values.get();
    view.lengths = lengths_.get();
    view.starts = starts_.get();
    view.rows = rows;
    view.max_length = static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
  }
  static std::vector<std::uint16_t> random(std::size_t count) {
    std::mt19937 engine(1);
    std::vector<std::uint16_t> out(count);
    // Signs, and magnitudes from 1/4 to 2.
    for (auto& bits : out) bits = static_cast<std::uint16_t>((engine() & 0x8000u) | (0x3e80u + engine() % 0x180u));
    return out;
  }
  static std::vector<std::int32_t> begins(const std::vector<int>& lengths) {
    std::vector<std::int32_t> out{0};
    for (const int length : lengths) out.push_back(out.back() + length);
    return out;
  }
  std::size_t rows;
  Device<std::uint16_t> keys, values;
  Device<std::int32_t> lengths_, starts_;
  kvsift_cuda_kv_view view{};
};

std::vector<float> normal(std::size_t count) {
  std::mt19937 engine(2);
  std::normal_distribution<float> draw;
  std::vector<float> out(count);
  for (float& x : out) x = draw(engine);
  return out;
}

double copy_bandwidth() {
  constexpr std::size_t bytes = std::size_t{1} << 30;
  const Device<char> from(bytes), to(bytes);
  const double time = seconds([&] { run(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice, stream)); });
  report("copy", "1 GiB", time, 2.0 * bytes, "GB/s", 0);
  return 2.0 * bytes / time / 1e9;
}

double product_rate() {
  constexpr std::size_t n = 8192;
  const Device<float> x(normal(n * n)), out(n * n);
  const Device<std::uint16_t> w(Cache::random(n * n));
  const kvsift_cuda_weight weight{KVSIFT_CUDA_BF16, w.get(), n, n, 0};
  const double time = seconds([&] { good(kvsift_cuda_linear(context, stream, &weight, x.get(), n, nullptr, nullptr, out.get())); });
  report("linear bf16", "8192 x 8192 x 8192", time, 2.0 * n * n * n, "GFLOP/s", 0);
  return 2.0 * n * n * n / time / 1e9;
}

void decode(const char* name, const std::vector<int>& lengths, double bandwidth) {
  constexpr std::size_t dim = 128;
  const Cache cache(lengths, dim);
  const std::size_t heads = lengths.size() * 4;
  const Device<float> q(normal(heads * dim)), out(heads * dim);
  const kvsift_cuda_attention_shape shape{heads, 0.088388F, 0, 0};
  const kvsift_cuda_kv_segment segment{cache.view, 1};
  const double time =
      seconds([&] { good(kvsift_cuda_attention(context, stream, &segment, 1, q.get(), &shape, nullptr, out.get(), nullptr)); });
  report("attention decode", name, time, static_cast<double>(cache.rows) * dim * 4, "GB/s", bandwidth);
}

void prefill(int n, double rate) {
  constexpr std::size_t dim = 128, heads = 32;
  const auto rows = static_cast<std::size_t>(n);
  const Cache cache(std::vector<int>(8, n), dim);
  const Device<float> q(normal(rows * heads * dim)), out(rows * heads * dim), sums(rows * heads), columns(heads * rows);
  const kvsift_cuda_attention_shape shape{heads, 0.088388F, 0, 0};
  const kvsift_cuda_kv_segment segment{cache.view, rows};
  const std::string label = std::to_string(n) + " x 32/8 heads x 128, bf16, causal";
  const double pairs = static_cast<double>(rows) * (rows + 1) / 2 * heads * dim;
  const auto attend = [&] { good(kvsift_cuda_attention(context, stream, &segment, 1, q.get(), &shape, nullptr, out.get(), sums.get())); };
  report("attention prefill", label, seconds(attend), 4 * pairs, "GFLOP/s", rate);
  kvsift_cuda_use_warpgroups(context, 0);
  report("attention prefill without warpgroup products", label, seconds(attend), 4 * pairs, "GFLOP/s", rate);
  kvsift_cuda_use_warpgroups(context, 1);
  kvsift_cuda_column_arguments arguments{};
  arguments.shape = shape;
  arguments.log_sum_exp = sums.get();
  const auto column = [&](std::size_t count) {
    arguments.log_sum_exp = sums.get() + (rows - count) * heads;
    good(kvsift_cuda_attention_columns(context, stream, q.get() + (rows - count) * heads * dim, count, &cache.view, rows, KVSIFT_CUDA_COLUMN_SUM, &arguments,
                                       columns.get()));
  };
  report("column sums, last 32 queries", label, seconds([&] { column(32); }), 2.0 * 32 * rows * heads * dim, "GFLOP/s", rate);
  arguments.log_sum_exp = nullptr;
  report("attention of the last 32 queries", label, seconds([&] {
           good(kvsift_cuda_attention_columns(context, stream, q.get() + (rows - 32) * heads * dim, 32, &cache.view, rows, KVSIFT_CUDA_COLUMN_SUM, &arguments,
                                              columns.get()));
         }),
         4.0 * 32 * rows * heads * dim, "GFLOP/s", rate);
  report("column sums, all queries", label, seconds([&] { column(rows); }), 2 * pairs, "GFLOP/s", rate);
}

void select_and_compact(double bandwidth) {
  constexpr std::size_t dim = 128, heads = 8, n = 131072, keep = n / 5;
  const Cache cache(std::vector<int>(heads, n), dim);
  const Device<float> scores(normal(heads * n));
  const Device<std::int32_t> indices(heads * keep), offsets(heads + 1);
  kvsift_cuda_top_arguments top{};
  top.scores = scores.get();
  top.heads = heads;
  top.length = n;
  top.keep = top.max = keep;
  top.total = heads * keep;
  const kvsift_cuda_slot_selection selection{indices.get(), offsets.get(), keep, heads * keep};
  const auto pick = [&] { good(kvsift_cuda_top(context, stream, &top, indices.get(), offsets.get())); };
  const auto move = [&] { good(kvsift_cuda_kv_compact(context, stream, &cache.view, &selection)); };
  report("top", "8 heads x 131072 to 20 %", seconds(pick), heads * n * 4.0, "GB/s", bandwidth);
  report("compact", "8 heads x 131072 x 128 bf16 to 20 %", seconds(move), heads * keep * dim * 8.0, "GB/s", bandwidth);
  report("top and compact", "8 heads x 131072 x 128 bf16 to 20 %", seconds([&] { pick(); move(); }), heads * keep * dim * 8.0, "GB/s", bandwidth);
}

/** Products of one row with a bf16 weight, as in a decode step. Weights in turn, so that none stays in the cache. */
void streamed_product(std::size_t outputs, std::size_t columns, double bandwidth) {
  const std::size_t copies = (std::size_t{1} << 29) / (outputs * columns * 2) + 1;
  const Device<std::uint16_t> weight(Cache::random(outputs * columns * copies));
  const Device<float> x(normal(columns)), out(outputs);
  std::size_t turn = 0;
  const double time = seconds([&] {
    const kvsift_cuda_weight view{KVSIFT_CUDA_BF16, weight.get() + turn++ % copies * outputs * columns, outputs, columns, 0};
    good(kvsift_cuda_linear(context, stream, &view, x.get(), 1, nullptr, nullptr, out.get()));
  });
  report("linear bf16", std::to_string(outputs) + " x " + std::to_string(columns) + ", 1 row", time, static_cast<double>(outputs) * columns * 2, "GB/s", bandwidth);
}

void stored_product(const char* name, kvsift_cuda_dtype type, double bytes_per_value, double bandwidth) {
  constexpr std::size_t rows = 14336, columns = 4096;
  const auto bytes = static_cast<std::size_t>(rows * columns * bytes_per_value);
  const Device<char> data(bytes);
  run(cudaMemset(data.get(), 0x21, bytes));
  const Device<float> x(normal(8 * columns)), out(8 * rows);
  const kvsift_cuda_weight weight{type, data.get(), rows, columns, 0};
  for (const std::size_t batch : {1, 8}) {
    const double time = seconds([&] { good(kvsift_cuda_linear(context, stream, &weight, x.get(), batch, nullptr, nullptr, out.get())); });
    report(std::string("linear ") + name, "14336 x 4096, " + std::to_string(batch) + " rows", time, static_cast<double>(bytes), "GB/s", bandwidth);
  }
}

/** elu(x) + 1 of the keys of 65,536 entries as RatchetKV has it, whole and summed over the channels. */
void formulas(double bandwidth) {
  constexpr std::size_t heads = 8, n = 65536, dim = 128;
  const Device<float> x(normal(heads * n * dim)), out(heads * n * dim);
  const auto step = [](kvsift_cuda_binary_op op, std::size_t a, std::size_t b, float number) {
    return kvsift_cuda_formula_step{0, KVSIFT_CUDA_EXP, op, a, b, number};
  };
  constexpr std::size_t none = KVSIFT_CUDA_FORMULA_NUMBER;
  const kvsift_cuda_formula_step steps[] = {step(KVSIFT_CUDA_MIN, 0, none, 0), {1, KVSIFT_CUDA_EXP, KVSIFT_CUDA_ADD, 1, none, 0}, step(KVSIFT_CUDA_LESS, 0, none, 0),
                                            step(KVSIFT_CUDA_MUL, 2, 3, 0),    step(KVSIFT_CUDA_MAX, 0, none, 0),               step(KVSIFT_CUDA_ADD, 4, 5, 0)};
  const kvsift_cuda_formula_tensor tensor{x.get(), {0, n * dim, dim, 1}};
  const kvsift_cuda_formula formula{&tensor, steps, 1, std::size(steps), {1, heads, n, dim}};
  const auto measure = [&](kvsift_cuda_formula_along along) {
    return seconds([&] { good(kvsift_cuda_evaluate(context, stream, &formula, along, KVSIFT_CUDA_REDUCE_SUM, out.get())); });
  };
  constexpr double bytes = heads * n * dim * 4.0;
  report("evaluate", "6 ops on 8 x 65536 x 128", measure(KVSIFT_CUDA_FORMULA_WHOLE), 2 * bytes, "GB/s", bandwidth);
  report("evaluate", "6 ops on 8 x 65536 x 128, sum of columns", measure(KVSIFT_CUDA_FORMULA_COLUMNS), bytes, "GB/s", bandwidth);
  report("evaluate", "6 ops on 8 x 65536 x 128, sum of rows", measure(KVSIFT_CUDA_FORMULA_ROWS), bytes, "GB/s", bandwidth);
}

}  // namespace

/** Without an argument everything is measured; else what it names: decode, prefill, select, linear or formulas. */
int main(int argc, char** argv) {
  const auto wanted = [&](const char* what) { return argc < 2 || std::strcmp(argv[1], what) == 0; };
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::printf("No CUDA device: nothing measured.\n");
    return 0;
  }
  if (kvsift_cuda_open(0, &context) != KVSIFT_CUDA_OK) stop("the device cannot be opened");
  run(cudaStreamCreate(&stream));
  std::printf("{\"device\":\"%s\"}\n", kvsift_cuda_description(context));
  const double bandwidth = copy_bandwidth();
  double rate = product_rate();
  if (kvsift_cuda_use_cublas(context) == KVSIFT_CUDA_OK) {
    std::printf("{\"device\":\"%s\"}\n", kvsift_cuda_description(context));
    rate = product_rate();
  } else {
    std::fprintf(stderr, "%s\n", kvsift_cuda_message(context));
  }
  if (wanted("decode")) {
    decode("131072 x 8 heads x 128, group 4, bf16, dense", std::vector<int>(8, 131072), bandwidth);
    decode("ragged heads, the same total", {524288, 262144, 131072, 65536, 32768, 16384, 8192, 8192}, bandwidth);
    decode("heads of 50 beside one of 50000", {50, 50000, 50, 50, 50, 50, 50, 50}, bandwidth);
  }
  if (wanted("prefill")) {
    prefill(8192, rate);
    prefill(32768, rate);
  }
  if (wanted("select")) select_and_compact(bandwidth);
  if (wanted("linear")) {
    streamed_product(4096, 4096, bandwidth);
    streamed_product(6144, 4096, bandwidth);
    streamed_product(4096, 14336, bandwidth);
    streamed_product(28672, 4096, bandwidth);
    stored_product("q8_0", KVSIFT_CUDA_Q8_0, 34.0 / 32, bandwidth);
    stored_product("q4_0", KVSIFT_CUDA_Q4_0, 18.0 / 32, bandwidth);
    stored_product("q4_k", KVSIFT_CUDA_Q4_K, 144.0 / 256, bandwidth);
    stored_product("q6_k", KVSIFT_CUDA_Q6_K, 210.0 / 256, bandwidth);
  }
  if (wanted("formulas")) formulas(bandwidth);
  kvsift_cuda_close(context);
}

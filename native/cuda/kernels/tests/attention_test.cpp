#include <limits>

#include "cache.h"

namespace KVSIFT_TEST_SPACE {

namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/** Rows of one sequence, as the reference sees them. */
struct Rows {
  std::size_t first = 0;  // packed row
  std::size_t count = 0;
  std::size_t behind = 0;
  bool causal = true;
  const std::vector<std::int32_t>* ends = nullptr;
  const std::vector<std::int32_t>* positions = nullptr;  // of all packed rows
};

/** Logits of one row in double: [entries], −∞ where it does not look. */
std::vector<double> logits_of(const Entries& entries, std::size_t head_dim, std::size_t group, const kvsift_cuda_attention_shape& shape,
                              const std::vector<float>& q, const Rows& rows, std::size_t row, std::size_t query_head) {
  const std::size_t head = query_head / group;
  const std::size_t length = entries.keys[head].size() / head_dim;
  std::vector<double> out(length, minus_infinity);
  auto end = static_cast<std::int64_t>(length);
  if (rows.ends != nullptr) {
    end = (*rows.ends)[row];
  } else if (rows.causal) {
    end = static_cast<std::int64_t>(length) - static_cast<std::int64_t>(rows.behind + rows.count) + static_cast<std::int64_t>(row) + 1;
  }
  for (std::int64_t slot = 0; slot < std::min<std::int64_t>(end, static_cast<std::int64_t>(length)); slot++) {
    const auto at = static_cast<std::size_t>(slot);
    if (shape.window > 0 && entries.positions[head][at] <= (*rows.positions)[rows.first + row] - shape.window) continue;
    double dot = 0;
    for (std::size_t c = 0; c < head_dim; c++) {
      dot += static_cast<double>(q[((rows.first + row) * shape.query_heads + query_head) * head_dim + c]) * entries.keys[head][at * head_dim + c];
    }
    const double x = dot * shape.scale;
    out[at] = shape.softcap > 0 ? shape.softcap * std::tanh(x / shape.softcap) : x;
  }
  return out;
}

double log_sum(const std::vector<double>& logits) {
  double top = minus_infinity;
  for (const double x : logits) top = std::max(top, x);
  if (top == minus_infinity) return top;
  double sum = 0;
  for (const double x : logits) sum += std::exp(x - top);
  return top + std::log(sum);
}

struct Result {
  std::vector<double> out, sums;
};

void attend(const Entries& entries, std::size_t head_dim, std::size_t kv_heads, const kvsift_cuda_attention_shape& shape, const std::vector<float>& q,
            const Rows& rows, Result& result) {
  const std::size_t group = shape.query_heads / kv_heads;
  for (std::size_t row = 0; row < rows.count; row++) {
    for (std::size_t head = 0; head < shape.query_heads; head++) {
      const auto logits = logits_of(entries, head_dim, group, shape, q, rows, row, head);
      const double sum = log_sum(logits);
      result.sums[(rows.first + row) * shape.query_heads + head] = sum;
      for (std::size_t c = 0; c < head_dim; c++) {
        double mixed = 0;
        for (std::size_t slot = 0; slot < logits.size(); slot++) {
          if (logits[slot] != minus_infinity) mixed += std::exp(logits[slot] - sum) * entries.values[head / group][slot * head_dim + c];
        }
        result.out[((rows.first + row) * shape.query_heads + head) * head_dim + c] = mixed;
      }
    }
  }
}

double tolerance(kvsift_cuda_dtype type) { return type == KVSIFT_CUDA_F32 ? 2e-5 : type == KVSIFT_CUDA_BF16 ? 1.5e-2 : 2e-3; }

/** What queries are rounded to: that of the cache, halves for blocks of bytes. */
kvsift_cuda_dtype query_type(kvsift_cuda_dtype type) { return type == KVSIFT_CUDA_Q8_0 ? KVSIFT_CUDA_F16 : type; }

struct Case {
  kvsift_cuda_dtype type;
  std::size_t head_dim;
  std::vector<int> lengths;
  std::size_t group;
  std::vector<std::size_t> rows;  // per sequence; all with these lengths
  float softcap = 0;
  std::int32_t window = 0;
};

/** Runs a case in one layout against the reference; the output, for comparison between layouts. */
std::vector<float> attention_case(const Case& test, Layout layout, bool split) {
  const std::size_t kv_heads = test.lengths.size();
  kvsift_cuda_attention_shape shape{kv_heads * test.group, 1 / std::sqrt(static_cast<float>(test.head_dim)), test.softcap, test.window};
  std::vector<std::unique_ptr<Cache>> caches;
  std::vector<kvsift_cuda_kv_segment> segments;
  std::size_t total = 0;
  for (const std::size_t rows : test.rows) {
    caches.push_back(std::make_unique<Cache>(layout, test.type, test.head_dim, test.lengths, static_cast<unsigned>(11 + total), 0, 2));
    segments.push_back({caches.back()->view, rows});
    total += rows;
  }
  Numbers numbers(5);
  const auto q = stored(query_type(test.type), numbers.normal(total * shape.query_heads * test.head_dim));
  std::vector<std::int32_t> positions;
  Result want{std::vector<double>(q.size()), std::vector<double>(total * shape.query_heads)};
  for (std::size_t s = 0; s < segments.size(); s++) {
    const int last = *std::max_element(test.lengths.begin(), test.lengths.end()) * 2;
    for (std::size_t i = 0; i < test.rows[s]; i++) positions.push_back(last - static_cast<int>(2 * (test.rows[s] - i)));
  }
  std::size_t first = 0;
  for (std::size_t s = 0; s < segments.size(); s++) {
    Rows rows;
    rows.first = first;
    rows.count = test.rows[s];
    rows.positions = &positions;
    attend(caches[s]->entries, test.head_dim, kv_heads, shape, q, rows, want);
    first += test.rows[s];
  }
  Buffer<float> device_q(q);
  Buffer<std::int32_t> device_positions(positions);
  Buffer<float> out(q.size());
  Buffer<float> sums(want.sums.size());
  const std::size_t stride = static_cast<std::size_t>(*std::max_element(test.lengths.begin(), test.lengths.end()));
  Buffer<float> scores(split ? want.sums.size() * stride : 0);
  if (split) {
    good(kvsift_cuda_attention_decode(context(), nullptr, segments.data(), segments.size(), device_q.get(), &shape, device_positions.get(), out.get(),
                                      sums.get(), scores.get(), stride));
  } else {
    good(kvsift_cuda_attention(context(), nullptr, segments.data(), segments.size(), device_q.get(), &shape, device_positions.get(), out.get(), sums.get()));
  }
  const auto got = out.read();
  const std::string label = std::string(name_of(layout)) + " d=" + std::to_string(test.head_dim);
  expect_near(got, want.out, split && test.type != KVSIFT_CUDA_F32 ? 2e-5 : tolerance(test.type), 1e-5, label + " output");
  expect_near(sums.read(), want.sums, 1e-4, 1e-5, label + " log-sum-exp");
  if (split) {
    std::vector<double> logits(want.sums.size() * stride, minus_infinity);
    first = 0;
    for (std::size_t s = 0; s < segments.size(); s++) {
      Rows rows;
      rows.first = first;
      rows.count = test.rows[s];
      rows.positions = &positions;
      for (std::size_t row = 0; row < rows.count; row++) {
        for (std::size_t head = 0; head < shape.query_heads; head++) {
          const auto own = logits_of(caches[s]->entries, test.head_dim, test.group, shape, q, rows, row, head);
          std::copy(own.begin(), own.end(), &logits[((first + row) * shape.query_heads + head) * stride]);
        }
      }
      first += test.rows[s];
    }
    expect_near(scores.read(), logits, 1e-4, 1e-4, label + " scores");
  }
  for (const auto& cache : caches) cache->read();
  return got;
}

void in_all_layouts(const Case& test, bool split) {
  const auto dense = attention_case(test, Layout::dense, split);
  expect_same(attention_case(test, Layout::flattened, split), dense, "flattened against dense");
  expect_same(attention_case(test, Layout::paged, split), dense, "paged against dense");
}

}  // namespace

KVSIFT_TEST(decode_ragged, "attention_decode: one row over ragged heads, some empty, one far longer, in every layout") {
  in_all_layouts({KVSIFT_CUDA_BF16, 128, {1, 0, 331, 5}, 4, {1}}, true);
}

KVSIFT_TEST(decode_types, "attention_decode: f32, f16 and bf16 caches, head dims from 8 to 256, groups of 1 to 7") {
  attention_case({KVSIFT_CUDA_F32, 8, {13, 70}, 1, {1}}, Layout::dense, true);
  attention_case({KVSIFT_CUDA_F16, 64, {97, 3}, 2, {2}}, Layout::flattened, true);
  attention_case({KVSIFT_CUDA_BF16, 80, {67}, 7, {1}}, Layout::paged, true);
  attention_case({KVSIFT_CUDA_F16, 256, {41, 40}, 3, {1}}, Layout::paged, true);
  attention_case({KVSIFT_CUDA_Q8_0, 32, {70, 5}, 1, {1}}, Layout::dense, true);
  attention_case({KVSIFT_CUDA_Q8_0, 96, {45}, 3, {2}}, Layout::flattened, true);
  in_all_layouts({KVSIFT_CUDA_Q8_0, 128, {1, 0, 231, 5}, 4, {1}}, true);
}

KVSIFT_TEST(decode_batch, "attention_decode: a batch of more sequences than a launch holds") {
  attention_case({KVSIFT_CUDA_F16, 16, {9, 2}, 2, std::vector<std::size_t>(19, 1)}, Layout::flattened, true);
}

KVSIFT_TEST(decode_window, "attention_decode: softcap, a sliding window by positions, several rows") {
  in_all_layouts({KVSIFT_CUDA_BF16, 64, {60, 60}, 2, {5}, 3.0F, 21}, true);
  attention_case({KVSIFT_CUDA_F32, 32, {90, 60}, 3, {7, 1}, 0.0F, 33}, Layout::dense, true);
}

KVSIFT_TEST(decode_outliers, "attention_decode: logits of hundreds do not overflow; a NaN in a key reaches its own head only") {
  const Cache cache(Layout::dense, KVSIFT_CUDA_F32, 32, {40, 40}, 3);
  std::vector<float> q = Numbers(4).normal(2 * 32);
  for (float& x : q) x *= 200;
  Buffer<float> device_q(q);
  Buffer<float> out(q.size());
  Buffer<float> sums(2);
  const kvsift_cuda_attention_shape shape{2, 1, 0, 0};
  const kvsift_cuda_kv_segment segment{cache.view, 1};
  good(kvsift_cuda_attention_decode(context(), nullptr, &segment, 1, device_q.get(), &shape, nullptr, out.get(), sums.get(), nullptr, 0));
  Result want{std::vector<double>(q.size()), std::vector<double>(2)};
  Rows rows;
  rows.count = 1;
  attend(cache.entries, 32, 2, shape, q, rows, want);
  expect_near(out.read(), want.out, 1e-3, 1e-3, "output");
  const float nan = NAN;
  copy_in(static_cast<float*>(cache.view.keys) + 3 * 32, &nan, sizeof nan);
  good(kvsift_cuda_attention_decode(context(), nullptr, &segment, 1, device_q.get(), &shape, nullptr, out.get(), sums.get(), nullptr, 0));
  const auto got = out.read();
  expect(std::isnan(got[0]) && std::isfinite(got[32]), "NaN is not where it belongs");
}

KVSIFT_TEST(prefill_dims, "attention: tensor-core kernel for every head dim, f16 and bf16") {
  attention_case({KVSIFT_CUDA_BF16, 64, {70}, 1, {70}}, Layout::dense, false);
  attention_case({KVSIFT_CUDA_F16, 80, {83}, 2, {17}}, Layout::paged, false);
  attention_case({KVSIFT_CUDA_BF16, 96, {67}, 1, {20}}, Layout::dense, false);
  attention_case({KVSIFT_CUDA_F16, 128, {131}, 2, {67}}, Layout::flattened, false);
  attention_case({KVSIFT_CUDA_BF16, 256, {66}, 1, {18}}, Layout::dense, false);
  attention_case({KVSIFT_CUDA_Q8_0, 128, {90, 40}, 2, {33}, 3.0F, 50}, Layout::paged, false);
}

KVSIFT_TEST(prefill_layouts, "attention: a chunk of queries over a longer ragged cache, bit-identical in every layout") {
  in_all_layouts({KVSIFT_CUDA_F16, 64, {150, 12}, 2, {40}}, false);
}

/** With warpgroup products in use meanwhile; false where there are none, on devices other than Hopper. */
class Warpgroups {
 public:
  explicit Warpgroups(bool use) : there_(kvsift_cuda_use_warpgroups(context(), use ? 1 : 0) == KVSIFT_CUDA_OK) {}
  ~Warpgroups() { kvsift_cuda_use_warpgroups(context(), 0); }
  Warpgroups(const Warpgroups&) = delete;
  Warpgroups& operator=(const Warpgroups&) = delete;
  explicit operator bool() const { return there_; }

 private:
  bool there_;
};

KVSIFT_TEST(prefill_wide, "attention: warpgroup products, f16 and bf16, chunks over longer ragged caches, windows, in every layout") {
  const Warpgroups use(true);
  if (!use) return;
  in_all_layouts({KVSIFT_CUDA_BF16, 128, {300, 419}, 2, {130}}, false);
  in_all_layouts({KVSIFT_CUDA_F16, 64, {260, 131}, 1, {131}}, false);
  attention_case({KVSIFT_CUDA_F16, 128, {129}, 1, {129}}, Layout::dense, false);
  attention_case({KVSIFT_CUDA_BF16, 64, {257, 300}, 2, {257}, 0, 37}, Layout::paged, false);
  attention_case({KVSIFT_CUDA_BF16, 128, {90, 270, 0}, 1, {140, 20, 66}, 0, 200}, Layout::flattened, false);
  // Of 64 rows the last ones alone do not see all of a tile.
  attention_case({KVSIFT_CUDA_F16, 64, {400}, 1, {400}, 0, 592}, Layout::dense, false);
}

KVSIFT_TEST(prefill_window, "attention: sliding window, softcap, rows that see nothing, a batch that mixes long and short") {
  attention_case({KVSIFT_CUDA_BF16, 64, {150}, 2, {100}, 0.0F, 41}, Layout::dense, false);
  attention_case({KVSIFT_CUDA_F16, 64, {60, 20}, 1, {30, 1, 33}, 2.0F, 0}, Layout::flattened, false);
}

namespace {

void column_case(kvsift_cuda_dtype type, std::size_t head_dim, std::size_t group, std::size_t n, std::size_t count, kvsift_cuda_column_mask mask,
                 std::size_t behind, std::int32_t window, bool with_ends, bool known) {
  const std::size_t kv_heads = 2;
  const Cache cache(Layout::flattened, type, head_dim, {static_cast<int>(n), static_cast<int>(n)}, 21);
  kvsift_cuda_column_arguments arguments{};
  arguments.shape = {kv_heads * group, 1 / std::sqrt(static_cast<float>(head_dim)), 0, window};
  arguments.mask = mask;
  arguments.behind = behind;
  Numbers numbers(6);
  const std::size_t heads = arguments.shape.query_heads;
  const auto q = stored(query_type(type), numbers.normal(count * heads * head_dim));
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> ends;
  for (std::size_t i = 0; i < count; i++) {
    positions.push_back(static_cast<std::int32_t>(n - count + i));
    ends.push_back(static_cast<std::int32_t>((i * 37 + 5) % (n + 1)));
  }
  Rows rows;
  rows.count = count;
  rows.behind = behind;
  rows.causal = mask == KVSIFT_CUDA_MASK_CAUSAL;
  rows.positions = &positions;
  if (with_ends) rows.ends = &ends;
  std::vector<double> sum(heads * n);
  std::vector<double> max(heads * n);
  std::vector<double> all(heads * count * n);
  std::vector<float> sums(count * heads);
  for (std::size_t row = 0; row < count; row++) {
    for (std::size_t head = 0; head < heads; head++) {
      const auto logits = logits_of(cache.entries, head_dim, group, arguments.shape, q, rows, row, head);
      const double total = log_sum(logits);
      sums[row * heads + head] = static_cast<float>(total);
      for (std::size_t slot = 0; slot < n; slot++) {
        const double p = logits[slot] == minus_infinity ? 0 : std::exp(logits[slot] - total);
        all[(head * count + row) * n + slot] = p;
        sum[head * n + slot] += p;
        max[head * n + slot] = std::max(max[head * n + slot], p);
      }
    }
  }
  Buffer<float> device_q(q);
  Buffer<std::int32_t> device_positions(positions);
  Buffer<std::int32_t> device_ends(ends);
  Buffer<float> device_sums(sums);
  arguments.positions = device_positions.get();
  if (with_ends) arguments.ends = device_ends.get();
  if (known) arguments.log_sum_exp = device_sums.get();
  Buffer<float> out(heads * n);
  good(kvsift_cuda_attention_columns(context(), nullptr, device_q.get(), count, &cache.view, n, KVSIFT_CUDA_COLUMN_SUM, &arguments, out.get()));
  expect_near(out.read(), sum, 1e-4, 1e-3, "column sums");
  good(kvsift_cuda_attention_columns(context(), nullptr, device_q.get(), count, &cache.view, n, KVSIFT_CUDA_COLUMN_MAX, &arguments, out.get()));
  expect_near(out.read(), max, 1e-4, 1e-3, "column maxima");
  Buffer<float> probabilities(all.size());
  good(kvsift_cuda_attention_rows(context(), nullptr, device_q.get(), count, &cache.view, n, &arguments, probabilities.get()));
  expect_near(probabilities.read(), all, 1e-5, 1e-4, "probabilities");
}

}  // namespace

KVSIFT_TEST(columns_window, "attention_columns: the last rows, on tensor cores and from logits, known and unknown log-sum-exp") {
  column_case(KVSIFT_CUDA_BF16, 64, 2, 131, 32, KVSIFT_CUDA_MASK_CAUSAL, 0, 0, false, false);
  column_case(KVSIFT_CUDA_F16, 128, 1, 70, 7, KVSIFT_CUDA_MASK_CAUSAL, 3, 0, false, true);
  column_case(KVSIFT_CUDA_F32, 24, 2, 45, 9, KVSIFT_CUDA_MASK_CAUSAL, 0, 0, false, false);
  column_case(KVSIFT_CUDA_Q8_0, 64, 2, 83, 40, KVSIFT_CUDA_MASK_CAUSAL, 0, 0, false, false);
}

KVSIFT_TEST(columns_masks, "attention_columns: all rows, no mask, sampled rows, sliding window") {
  column_case(KVSIFT_CUDA_F16, 64, 1, 80, 80, KVSIFT_CUDA_MASK_CAUSAL, 0, 17, false, false);
  column_case(KVSIFT_CUDA_BF16, 64, 2, 67, 21, KVSIFT_CUDA_MASK_NONE, 0, 0, false, false);
  column_case(KVSIFT_CUDA_BF16, 80, 1, 66, 70, KVSIFT_CUDA_MASK_CAUSAL, 0, 0, true, true);
  column_case(KVSIFT_CUDA_F32, 16, 1, 33, 40, KVSIFT_CUDA_MASK_NONE, 0, 0, true, false);
}

KVSIFT_TEST(columns_wide, "attention_columns: warpgroup products, causal, windows, no mask and sampled rows") {
  const Warpgroups use(true);
  if (!use) return;
  column_case(KVSIFT_CUDA_BF16, 128, 2, 300, 300, KVSIFT_CUDA_MASK_CAUSAL, 0, 0, false, false);
  column_case(KVSIFT_CUDA_F16, 64, 1, 390, 140, KVSIFT_CUDA_MASK_CAUSAL, 3, 0, false, true);
  column_case(KVSIFT_CUDA_F16, 64, 1, 150, 150, KVSIFT_CUDA_MASK_CAUSAL, 0, 37, false, false);
  column_case(KVSIFT_CUDA_BF16, 64, 1, 257, 270, KVSIFT_CUDA_MASK_NONE, 0, 0, false, true);
  column_case(KVSIFT_CUDA_BF16, 128, 1, 140, 130, KVSIFT_CUDA_MASK_CAUSAL, 0, 0, true, true);
}

}  // namespace KVSIFT_TEST_SPACE

#include "kvsift/attention.h"

#include <atomic>

#include "attention_cases.h"
#include "flush_scope.h"
#include "kernel_table.h"

namespace kvsift::tests {

namespace {

struct Case {
  DType type;
  std::size_t dim;
  std::size_t group;
  std::vector<std::size_t> held;  // entries per head, the rows' own included
  std::size_t rows;
  float softcap = 0;
  std::int32_t window = 0;
};

std::string name_of(const Case& c) {
  return std::string("attention ") + dtype_name(c.type) + " dim " + std::to_string(c.dim) + " group " + std::to_string(c.group) + " held " +
         std::to_string(c.held[0]) + " rows " + std::to_string(c.rows) + (c.softcap > 0 ? " softcap" : "") + (c.window > 0 ? " window" : "");
}

void run_case(const Case& c) {
  Context context(2);
  const std::size_t heads = c.held.size() * c.group;
  Cache cache(context, c.type, c.dim, c.held, Layout::dense, 11);
  Cache paged(context, c.type, c.dim, c.held, Layout::paged, 11);
  const std::vector<float> q = random_values(c.rows * heads * c.dim, 5, 2);
  std::vector<std::int32_t> positions;
  for (std::size_t row = 0; row < c.rows; row++) positions.push_back(static_cast<std::int32_t>(2 * (c.held[0] - c.rows + row) + 1));
  const AttentionShape shape{heads, 1 / std::sqrt(static_cast<float>(c.dim)), c.softcap, c.window};
  std::vector<double> want(c.rows * heads * c.dim);
  std::vector<double> want_lse;
  for (std::size_t row = 0; row < c.rows; row++) {
    for (std::size_t h = 0; h < heads; h++) {
      const std::size_t g = h / c.group;
      const auto end = static_cast<std::int64_t>(c.held[g]) - static_cast<std::int64_t>(c.rows) + static_cast<std::int64_t>(row) + 1;
      const std::size_t at = (row * heads + h) * c.dim;
      const auto logits = logits_of(cache, g, &q[at], shape, end, positions[row]);
      const double total = log_sum_of(logits);
      want_lse.push_back(total);
      for (std::size_t slot = 0; slot < logits.size() && !std::isinf(total); slot++) {
        const double p = std::exp(logits[slot] - total);
        for (std::size_t d = 0; d < c.dim; d++) want[at + d] += p * cache.value_values[g][slot * c.dim + d];
      }
    }
  }
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    for (const Compute compute : {Compute::f32, Compute::int8}) {
      const std::string what = name_of(c) + (compute == Compute::f32 ? " f32 " : " fast ") + isa_name(isa);
      std::vector<float> out(want.size());
      std::vector<float> lse(want_lse.size());
      const KvSegment segment{cache.view, c.rows};
      attention(context, compute, std::span(&segment, 1), q.data(), shape, positions.data(), out.data(), lse.data());
      const bool exact = compute == Compute::f32 || !kernel_table(isa).products.bf16 || c.rows <= 8;
      check_close(out, want, exact ? 2e-5 : 0.08, 0, what);
      check_close(lse, want_lse, exact ? 2e-5 : 0.08, 0, what + " lse");
      std::vector<float> again(out.size());
      std::vector<float> lse_again(lse.size());
      const KvSegment other{paged.view, c.rows};
      attention(context, compute, std::span(&other, 1), q.data(), shape, positions.data(), again.data(), lse_again.data());
      check(out == again && lse == lse_again, what + ": paged gives the same bits");
    }
  }
}

/** What is no number comes out as none, in its own row only. */
void check_nan(std::size_t rows) {
  constexpr std::size_t dim = 64;
  constexpr std::size_t heads = 2;
  constexpr std::size_t spoilt = 1;
  Context context(2);
  Cache cache(context, DType::f16, dim, {70, 40}, Layout::dense, 11);
  std::vector<float> q = random_values(rows * heads * dim, 5, 2);
  std::fill_n(q.begin() + spoilt * heads * dim, heads * dim, std::numeric_limits<float>::quiet_NaN());
  const AttentionShape shape{heads, 0.125F, 0, 0};
  const KvSegment segment{cache.view, rows};
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    for (const Compute compute : {Compute::f32, Compute::int8}) {
      std::vector<float> out(q.size());
      std::vector<float> lse(rows * heads);
      attention(context, compute, std::span(&segment, 1), q.data(), shape, nullptr, out.data(), lse.data());
      bool right = true;
      for (std::size_t i = 0; i < out.size(); i++) right = right && std::isnan(out[i]) == (i / (heads * dim) == spoilt);
      check(right, "attention of " + std::to_string(rows) + " rows keeps a NaN in its row " + isa_name(isa) + (compute == Compute::f32 ? " f32" : " fast"));
    }
  }
}

/** A batch of ragged segments equals its segments alone, bit by bit, on one thread as on two. */
void run_batch() {
  Context two(2);
  Context one(1);
  Cache a(two, DType::f16, 64, {700, 650}, Layout::dense, 1);
  Cache b(two, DType::f16, 64, {40, 41}, Layout::paged, 2);
  Cache c(two, DType::f16, 64, {1300, 90}, Layout::dense, 3);
  const AttentionShape shape{6, 0.125F, 0, 0};
  const std::vector<KvSegment> segments = {{a.view, 1}, {b.view, 20}, {c.view, 3}};
  const std::vector<float> q = random_values(24 * 6 * 64, 4, 2);
  std::vector<float> together(q.size());
  attention(two, Compute::int8, segments, q.data(), shape, nullptr, together.data(), nullptr);
  std::vector<float> alone(q.size());
  std::size_t row = 0;
  for (const auto& segment : segments) {
    attention(one, Compute::int8, std::span(&segment, 1), q.data() + row * 384, shape, nullptr, alone.data() + row * 384, nullptr);
    row += segment.rows;
  }
  check(together == alone, "attention: batch and threads change no bit");
}

/** A product below the smallest normal number, at run time. */
float tiny_product() {
  const volatile float a = 1e-30F;
  const volatile float b = 1e-10F;
  return a * b;
}

/** Numbers below the normal ones are 0 while attention lasts, and only then. */
void check_flush() {
#if defined(__x86_64__)
  {
    const FlushScope scope;
    check(tiny_product() == 0, "a flush scope takes tiny products for 0");
  }
#endif
  check(tiny_product() > 0, "a flush scope ends");
  Context context(2);
  Cache cache(context, DType::f16, 64, {70, 40}, Layout::dense, 11);
  const std::vector<float> q = random_values(20 * 2 * 64, 5, 2);
  std::vector<float> out(q.size());
  const KvSegment segment{cache.view, 20};
  attention(context, Compute::int8, std::span(&segment, 1), q.data(), {2, 0.125F, 0, 0}, nullptr, out.data(), nullptr);
  std::atomic<int> kept = 0;
  context.parallel_for(64, 1, [&](std::size_t, std::size_t, std::size_t) { kept += tiny_product() > 0 ? 1 : 0; });
  check(kept == 64, "tiny products are back on every thread after attention");
}

}  // namespace

void test_attention() {
  run_case({DType::f32, 64, 3, {300, 300}, 100});
  run_case({DType::f16, 64, 3, {200, 137}, 137});
  run_case({DType::bf16, 128, 1, {129, 150, 131}, 33});
  run_case({DType::bf16, 24, 2, {77}, 77});
  run_case({DType::f16, 64, 3, {600, 530}, 520});
  run_case({DType::f32, 20, 1, {50}, 12});
  run_case({DType::f16, 33, 1, {50}, 12});
  run_case({DType::f16, 64, 3, {1100, 3, 600}, 1});
  run_case({DType::q8_0, 64, 3, {300, 137}, 100});
  run_case({DType::q8_0, 128, 4, {700, 20}, 1});
  run_case({DType::q8_0, 96, 2, {260}, 3, 9.0F, 70});
  run_case({DType::f32, 256, 2, {530}, 8});
  run_case({DType::f32, 64, 2, {260}, 260, 5.0F, 0});
  run_case({DType::bf16, 64, 2, {400}, 200, 0, 60});
  run_case({DType::f32, 64, 4, {700}, 2, 20.0F, 300});
  run_case({DType::f32, 16, 1, {3}, 9});  // rows that see nothing
  for (const std::size_t rows : {3, 20}) check_nan(rows);
  run_batch();
  check_flush();
}

}  // namespace kvsift::tests

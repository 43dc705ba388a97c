#include "attention_cases.h"
#include "kernel_table.h"

namespace kvsift::tests {

namespace {

struct Case {
  DType type;
  std::size_t dim;
  std::size_t group;
  std::size_t n;
  std::size_t rows;
  ColumnMask mask = ColumnMask::causal;
  std::size_t behind = 0;
  float softcap = 0;
  std::int32_t window = 0;
};

void run_case(const Case& c) {
  Context context(2);
  const std::size_t heads = 2 * c.group;
  Cache cache(context, c.type, c.dim, {c.n, c.n}, Layout::paged, 21);
  const std::vector<float> q = random_values(c.rows * heads * c.dim, 6, 2);
  std::vector<std::int32_t> positions;
  for (std::size_t row = 0; row < c.rows; row++) positions.push_back(static_cast<std::int32_t>(2 * (c.n - c.behind - c.rows + row) + 1));
  ColumnArguments arguments;
  arguments.shape = {heads, 1 / std::sqrt(static_cast<float>(c.dim)), c.softcap, c.window};
  arguments.mask = c.mask;
  arguments.behind = c.behind;
  arguments.positions = positions.data();
  std::vector<double> sums(heads * c.n);
  std::vector<double> tops(heads * c.n);
  std::vector<double> rows(heads * c.rows * c.n);
  std::vector<float> lse(c.rows * heads);
  for (std::size_t row = 0; row < c.rows; row++) {
    const auto end = c.mask == ColumnMask::none ? static_cast<std::int64_t>(c.n)
                                                : static_cast<std::int64_t>(c.n) - static_cast<std::int64_t>(c.behind + c.rows) + static_cast<std::int64_t>(row) + 1;
    for (std::size_t h = 0; h < heads; h++) {
      const auto logits = logits_of(cache, h / c.group, &q[(row * heads + h) * c.dim], arguments.shape, end, positions[row]);
      const double total = log_sum_of(logits);
      lse[row * heads + h] = static_cast<float>(total);
      for (std::size_t slot = 0; slot < c.n && !std::isinf(total); slot++) {
        const double p = std::exp(logits[slot] - total);
        sums[h * c.n + slot] += p;
        tops[h * c.n + slot] = std::max(tops[h * c.n + slot], p);
        rows[(h * c.rows + row) * c.n + slot] = p;
      }
    }
  }
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    const std::string what = "columns n " + std::to_string(c.n) + " rows " + std::to_string(c.rows) + (c.mask == ColumnMask::none ? " unmasked" : "") + " " + isa_name(isa);
    for (const bool known : {false, true}) {
      arguments.log_sum_exp = known ? lse.data() : nullptr;
      for (const Compute compute : {Compute::f32, Compute::int8}) {
        const bool exact = compute == Compute::f32 || !kernel_table(isa).products.bf16;
        std::vector<float> out(sums.size());
        attention_columns(context, compute, q.data(), c.rows, cache.view, c.n, ColumnStatistic::sum, arguments, out.data());
        check_close(out, sums, exact ? 3e-5 : 0.02, exact ? 1e-5 : 0.05, what + " sum");
        if (c.mask == ColumnMask::causal && c.behind == 0) {
          // On top of what is there, in rows with room behind them, and the attention as it is without.
          std::vector<float> added(heads * (c.n + 3), 1);
          std::vector<float> attended(q.size());
          std::vector<float> own_lse(lse.size());
          attention_with_columns(context, compute, cache.view, c.rows, q.data(), arguments.shape, positions.data(), attended.data(), own_lse.data(), c.n,
                                 added.data(), c.n + 3);
          for (std::size_t h = 0; h < heads; h++) {
            for (std::size_t slot = 0; slot < c.n; slot++) out[h * c.n + slot] = added[h * (c.n + 3) + slot] - 1;
            check(added[h * (c.n + 3) + c.n] == 1, what + " leaves what lies behind");
          }
          check_close(out, sums, exact ? 3e-5 : 0.02, exact ? 1e-5 : 0.05, what + " sum beside the attention");
          const KvSegment segment{cache.view, c.rows};
          std::vector<float> alone(q.size());
          attention(context, compute, std::span(&segment, 1), q.data(), arguments.shape, positions.data(), alone.data(), nullptr);
          check(alone == attended || compute == Compute::int8, what + " attends alike");
          check_close(attended, std::vector<double>(alone.begin(), alone.end()), 2e-2, 2e-2, what + " attends alike, nearly");
          std::vector<float> again(heads * (c.n + 3), 1);
          attention_with_columns(context, compute, cache.view, c.rows, q.data(), arguments.shape, positions.data(), attended.data(), own_lse.data(), c.n,
                                 again.data(), c.n + 3);
          check(again == added, what + " is the same every time");
        }
        attention_columns(context, compute, q.data(), c.rows, cache.view, c.n, ColumnStatistic::max, arguments, out.data());
        check_close(out, tops, exact ? 1e-5 : 0.02, exact ? 1e-5 : 0.05, what + " max");
        std::vector<float> own(rows.size(), 7);
        attention_rows(context, compute, q.data(), c.rows, cache.view, c.n, arguments, own.data());
        check_close(own, rows, exact ? 1e-5 : 0.02, exact ? 0 : 0.05, what + " rows");
      }
    }
  }
}

/** One row, which has a way of its own, and the same row twice: the larger of two alike. */
void one_is_one_of_two(DType type, std::size_t group, std::size_t n, float softcap) {
  Context context(2);
  const std::size_t dim = 64;
  const std::size_t heads = 2 * group;
  Cache cache(context, type, dim, {n, n}, Layout::paged, 21);
  std::vector<float> q = random_values(heads * dim, 6, 2);
  q.insert(q.end(), q.begin(), q.begin() + static_cast<std::ptrdiff_t>(heads * dim));
  ColumnArguments arguments;
  arguments.shape = {heads, 0.125F, softcap, 0};
  arguments.mask = ColumnMask::none;
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    for (const Compute compute : {Compute::f32, Compute::int8}) {
      std::vector<float> one(heads * n);
      std::vector<float> two(heads * n);
      attention_columns(context, compute, q.data(), 1, cache.view, n, ColumnStatistic::max, arguments, one.data());
      attention_columns(context, compute, q.data(), 2, cache.view, n, ColumnStatistic::max, arguments, two.data());
      check(one == two, "columns of one row of " + std::to_string(n) + " entries as of two " + isa_name(isa));
      attention_columns(context, compute, q.data(), 1, cache.view, n, ColumnStatistic::sum, arguments, two.data());
      check(one == two, "columns of one row of " + std::to_string(n) + " entries summed " + isa_name(isa));
    }
  }
}

}  // namespace

void test_columns() {
  for (const std::size_t n : {std::size_t{1}, std::size_t{31}, std::size_t{300}}) {
    one_is_one_of_two(DType::f16, 3, n, 0);
    one_is_one_of_two(DType::q8_0, 5, n, 4);
  }
  run_case({DType::f16, 64, 3, 310, 1});
  run_case({DType::f32, 64, 2, 310, 1, ColumnMask::causal, 13});
  run_case({DType::bf16, 32, 1, 200, 1, ColumnMask::none, 0, 4.0F});
  run_case({DType::f32, 32, 2, 200, 1, ColumnMask::causal, 0, 0, 61});
  run_case({DType::f32, 64, 3, 300, 300});
  run_case({DType::f16, 64, 3, 310, 32});
  run_case({DType::q8_0, 64, 2, 310, 70});
  run_case({DType::bf16, 24, 1, 140, 50, ColumnMask::none});
  run_case({DType::f32, 32, 2, 200, 20, ColumnMask::causal, 13});
  run_case({DType::f32, 32, 2, 200, 150, ColumnMask::causal, 0, 4.0F, 61});
  run_case({DType::f32, 16, 1, 5, 9});  // more rows than entries: some see nothing
  run_case({DType::f32, 16, 1, 1, 1});
}

}  // namespace kvsift::tests

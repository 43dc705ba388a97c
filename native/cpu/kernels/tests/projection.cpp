#include <limits>

#include "check.h"
#include "kvsift/linear.h"
#include "random_blocks.h"

namespace kvsift::tests {

namespace {

struct Plan {
  DType type;
  std::size_t outputs;
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t head_dim;
  std::size_t entries;
};

void run_plan(const Plan& plan) {
  Context context(2);
  const auto [type, outputs, heads, kv_heads, head_dim, entries] = plan;
  const std::size_t columns = heads * head_dim;
  const std::vector<std::uint8_t> first = random_rows(type, outputs, columns, 4);
  const std::vector<std::uint8_t> second = random_rows(DType::f32, 3, columns, 5);
  const WeightSource sources[] = {{type, first.data(), outputs, columns, nullptr}, {DType::f32, second.data(), 3, columns, nullptr}};
  std::vector<float> weights((outputs + 3) * columns);
  dequantize(context, sources, weights.data());
  std::vector<float> values = random_values(kv_heads * entries * head_dim, 6);
  std::vector<double> sums[2];
  for (std::size_t head = 0; head < heads; head++) {
    for (std::size_t entry = 0; entry < entries; entry++) {
      const float* value = &values[(head / (heads / kv_heads) * entries + entry) * head_dim];
      double sum[2] = {0, 0};
      for (std::size_t output = 0; output < outputs + 3; output++) {
        double product = 0;
        for (std::size_t c = 0; c < head_dim; c++) product += static_cast<double>(value[c]) * weights[output * columns + head * head_dim + c];
        sum[0] += std::abs(product);
        sum[1] += product * product;
      }
      sums[0].push_back(sum[0]);
      sums[1].push_back(std::sqrt(sum[1]));
    }
  }
  for (const Compute compute : {Compute::f32, Compute::int8}) {
    const PackedWeight packed(context, sources, compute);
    for (const Isa isa : supported_sets()) {
      set_isa(context, isa);
      for (const Norm norm : {Norm::l1, Norm::l2}) {
        std::vector<float> out(heads * entries + 2, 12345);
        projected_norms(context, compute, packed, {values.data(), kv_heads, entries, head_dim}, norm, out.data() + 1);
        const std::string what = std::string("projection ") + dtype_name(type) + (norm == Norm::l1 ? " l1 " : " l2 ") + std::to_string(entries) + " values of " +
                                 std::to_string(head_dim) + (compute == Compute::f32 ? " f32 " : " int8 ") + isa_name(isa);
        check(out.front() == 12345 && out.back() == 12345, what + " writes outside");
        check_close(std::vector<float>(out.begin() + 1, out.end() - 1), sums[norm == Norm::l2], 0, compute == Compute::f32 ? 1e-5 : 1e-2, what);
      }
      // A value that is no number has no size, and the others keep theirs.
      std::vector<float> spoiled = values;
      spoiled[0] = std::numeric_limits<float>::quiet_NaN();
      std::vector<float> out(heads * entries);
      projected_norms(context, compute, packed, {spoiled.data(), kv_heads, entries, head_dim}, Norm::l1, out.data());
      check(std::isnan(out[0]) && (entries == 1 || std::isfinite(out[1])), std::string("projection of NaN ") + isa_name(isa));
    }
  }
}

}  // namespace

void test_projection() {
  for (int index = 0; index < dtype_count; index++) {
    const auto type = static_cast<DType>(index);
    if (type != DType::i32 && type != DType::u8) run_plan({type, 37, 4, 2, 128, 9});
  }
  run_plan({DType::q4_1, 200, 9, 3, 64, 700});
  run_plan({DType::bf16, 33, 3, 1, 80, 130});
  run_plan({DType::f16, 17, 6, 2, 5, 40});
  run_plan({DType::q8_0, 16, 1, 1, 32, 1});
  // Heads of one, three and four steps of tiles, whole pairs of panels and what is left of rows and panels.
  run_plan({DType::q4_1, 64, 3, 3, 32, 33});
  run_plan({DType::bf16, 176, 2, 1, 96, 50});
  run_plan({DType::q8_0, 96, 4, 2, 128, 70});
}

}  // namespace kvsift::tests

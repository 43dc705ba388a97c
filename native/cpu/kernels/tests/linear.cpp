#include "kvsift/feed_forward.h"
#include "kvsift/linear.h"

#include "check.h"
#include "random_blocks.h"

namespace kvsift::tests {

namespace {

/** One weight of stacked sources, with what float64 makes of it. */
struct Case {
  std::vector<std::vector<std::uint8_t>> stored;
  std::vector<std::int32_t> order;
  std::vector<WeightSource> sources;
  std::size_t rows = 0;
  std::size_t columns = 0;

  void add(DType type, std::size_t count, unsigned seed, bool reversed = false) {
    stored.push_back(random_rows(type, count, columns, seed));
    if (reversed) {
      for (std::size_t row = 0; row < count; row++) order.push_back(static_cast<std::int32_t>(count - 1 - row));
    }
    sources.push_back({type, stored.back().data(), count, columns, reversed ? order.data() : nullptr});
    rows += count;
  }
};

struct Expected {
  std::vector<double> values;
  /** Σ |x · w| per result: what errors are relative to. */
  double magnitude = 0;
};

Expected expected(const Case& c, const std::vector<float>& weights, const std::vector<float>& x, std::size_t rows, const std::vector<float>& bias,
                  const std::vector<float>& residual) {
  Expected out;
  for (std::size_t m = 0; m < rows; m++) {
    for (std::size_t n = 0; n < c.rows; n++) {
      double sum = 0;
      double magnitude = 0;
      for (std::size_t k = 0; k < c.columns; k++) {
        const double product = static_cast<double>(x[m * c.columns + k]) * weights[n * c.columns + k];
        sum += product;
        magnitude += product * product;
      }
      out.magnitude = std::max(out.magnitude, std::sqrt(magnitude));
      out.values.push_back(sum + (bias.empty() ? 0 : bias[n]) + (residual.empty() ? 0 : residual[m * c.rows + n]));
    }
  }
  return out;
}

void run_case(const Case& c, const std::string& name, std::size_t rows, bool extras) {
  Context context(2);
  const std::vector<float> x = random_values(rows * c.columns, 7);
  const std::vector<float> bias = extras ? random_values(c.rows, 8) : std::vector<float>();
  const std::vector<float> residual = extras ? random_values(rows * c.rows, 9) : std::vector<float>();
  std::vector<float> weights(c.rows * c.columns);
  dequantize(context, c.sources, weights.data());
  const Expected want = expected(c, weights, x, rows, bias, residual);
  for (const Compute compute : {Compute::f32, Compute::int8}) {
    const PackedWeight packed(context, c.sources, compute);
    for (const Isa isa : supported_sets()) {
      set_isa(context, isa);
      std::vector<float> out(rows * c.rows + 2, 12345);
      linear(context, compute, packed, x.data(), rows, false, extras ? bias.data() : nullptr, extras ? residual.data() : nullptr, out.data() + 1);
      const std::string what = "linear " + name + " " + std::to_string(rows) + " rows " + (compute == Compute::f32 ? "f32 " : "int8 ") + isa_name(isa);
      check(out.front() == 12345 && out.back() == 12345, what + " writes outside");
      const double tolerance = compute == Compute::f32 ? 1e-5 : 0.03;
      check_close(std::vector<float>(out.begin() + 1, out.end() - 1), want.values, tolerance * want.magnitude, 0, what);
    }
  }
}

/** Rows of several sequences must not depend on how many others there are. */
void check_rows_alone(DType type, std::size_t columns) {
  constexpr std::size_t rows = 70;
  Context context(2);
  Case c;
  c.columns = columns;
  c.add(type, 77, 5);
  const std::vector<float> x = random_values(rows * c.columns, 6);
  const PackedWeight packed(context, c.sources, Compute::int8);
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    std::vector<float> together(rows * c.rows);
    linear(context, Compute::int8, packed, x.data(), rows, true, nullptr, nullptr, together.data());
    std::vector<float> apart(rows * c.rows);
    std::size_t first = 0;
    for (const std::size_t count : {1, 5, 16, 9, 37, 2}) {
      linear(context, Compute::int8, packed, x.data() + first * c.columns, count, true, nullptr, nullptr, apart.data() + first * c.rows);
      first += count;
    }
    check(first == rows && together == apart, std::string("linear rows of ") + dtype_name(type) + " together and alone " + isa_name(isa));
  }
}

/** Codes and activations as large as they get, all of one sign: sums of bytes must not overflow on their way. */
void check_largest(DType type) {
  constexpr std::size_t rows = 9;
  Context context(2);
  const BlockLayout layout = block_layout(type);
  const std::uint16_t scale = f32_to_f16(0.01F);
  for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
    Case c;
    c.columns = 512;
    c.add(type, 33, 11);
    std::vector<std::uint8_t>& bytes = c.stored[0];
    std::fill(bytes.begin(), bytes.end(), static_cast<std::uint8_t>(fill));
    for (std::size_t at = 0; at < bytes.size(); at += layout.bytes) {
      for (const std::size_t offset : half_offsets(type)) std::memcpy(&bytes[at + offset], &scale, 2);
    }
    std::vector<float> x(rows * c.columns);
    for (std::size_t i = 0; i < x.size(); i++) x[i] = i / c.columns % 2 == 0 ? 1.0F : -1.0F;
    std::vector<float> weights(c.rows * c.columns);
    dequantize(context, c.sources, weights.data());
    const Expected want = expected(c, weights, x, rows, {}, {});
    const PackedWeight packed(context, c.sources, Compute::int8);
    for (const Isa isa : supported_sets()) {
      set_isa(context, isa);
      for (const std::size_t count : {std::size_t{2}, rows}) {
        std::vector<float> out(count * c.rows);
        linear(context, Compute::int8, packed, x.data(), count, true, nullptr, nullptr, out.data());
        const std::vector<double> some(want.values.begin(), want.values.begin() + static_cast<std::ptrdiff_t>(out.size()));
        check_close(out, some, 1e-4, 1e-4, "linear " + std::string(dtype_name(type)) + " of bytes " + std::to_string(fill) + ' ' + isa_name(isa));
      }
    }
  }
}

/** The gate where the products are made: to the bit what comes of both halves in memory. */
void check_gated(const Case& c, const std::string& name, std::size_t rows, bool with_bias) {
  Context context(2);
  const std::vector<float> x = random_values(rows * c.columns, 7);
  const std::vector<float> bias = with_bias ? random_values(c.rows, 8) : std::vector<float>();
  for (const Compute compute : {Compute::f32, Compute::int8}) {
    const PackedWeight packed(context, c.sources, compute);
    for (const Isa isa : supported_sets()) {
      set_isa(context, isa);
      for (const Activation activation : {Activation::silu, Activation::gelu_tanh, Activation::gelu}) {
        for (const bool apart : {false, true}) {
          std::vector<float> both(rows * c.rows);
          std::vector<float> expected(rows * c.rows / 2);
          linear(context, compute, packed, x.data(), rows, apart, with_bias ? bias.data() : nullptr, nullptr, both.data());
          gated(context, both.data(), rows, c.rows / 2, activation, expected.data());
          std::vector<float> out(expected.size() + 1, 12345);
          gated_linear(context, compute, packed, x.data(), rows, apart, with_bias ? bias.data() : nullptr, activation, out.data());
          check(out.back() == 12345, "gated linear " + name + " writes outside");
          out.pop_back();
          check(out == expected, "gated linear " + name + ' ' + std::to_string(rows) + " rows " + isa_name(isa));
        }
      }
    }
  }
}

void test_gated() {
  const auto stack = [](std::size_t columns, std::initializer_list<std::pair<DType, std::size_t>> parts) {
    Case c;
    c.columns = columns;
    unsigned seed = 1;
    for (const auto& [type, rows] : parts) c.add(type, rows, seed++);
    return c;
  };
  for (const std::size_t rows : {1, 12, 30, 530}) {
    check_gated(stack(288, {{DType::q4_1, 112}, {DType::q4_1, 112}}), "q4_1", rows, false);
    check_gated(stack(256, {{DType::q4_k, 64}, {DType::q6_k, 64}}), "q4_k and q6_k", rows, false);
  }
  check_gated(stack(64, {{DType::q8_0, 160}}), "one source", 40, false);
  check_gated(stack(64, {{DType::q8_0, 160}}), "one source with bias", 40, true);
  check_gated(stack(65, {{DType::bf16, 48}, {DType::f16, 48}}), "bf16 and f16", 40, false);
  check_gated(stack(64, {{DType::f32, 21}, {DType::f32, 21}}), "ragged halves", 40, false);
}

/** The block as one op: to the bit what its parts give one after the other. */
void check_feed_forward(const Case& gate_up, const Case& down, const std::string& name, std::size_t rows, bool with_bias) {
  Context context(2);
  const std::size_t inner = gate_up.rows / 2;
  const std::vector<float> x = random_values(rows * gate_up.columns, 7);
  const std::vector<float> norm = random_values(gate_up.columns, 8);
  const std::vector<float> bias = random_values(gate_up.rows, 9);
  const std::vector<float> down_bias = random_values(down.rows, 10);
  const std::vector<float> residual = random_values(rows * down.rows, 11);
  for (const Compute compute : {Compute::f32, Compute::int8}) {
    const PackedWeight first(context, gate_up.sources, compute);
    const PackedWeight second(context, down.sources, compute);
    const FeedForward part{norm.data(), 1e-5F, 1, first, second, with_bias ? bias.data() : nullptr, with_bias ? down_bias.data() : nullptr, Activation::silu};
    for (const Isa isa : supported_sets()) {
      set_isa(context, isa);
      for (const bool apart : {false, true}) {
        const float* added = apart ? nullptr : residual.data();
        std::vector<float> normed(x.size()), middle(rows * inner), expected(rows * down.rows);
        rms_norm(context, x.data(), rows, gate_up.columns, norm.data(), 1e-5F, 1, normed.data());
        gated_linear(context, compute, first, normed.data(), rows, apart, part.gate_up_bias, Activation::silu, middle.data());
        linear(context, compute, second, middle.data(), rows, apart, part.down_bias, added, expected.data());
        std::vector<float> out(expected.size() + 1, 12345);
        std::vector<float> normed_room(rows * (gate_up.columns + 1)), middle_room(middle.size());
        float* room = down.rows > gate_up.columns ? out.data() : normed_room.data();
        feed_forward(context, compute, part, {x.data(), rows, apart, added, room, middle_room.data(), out.data()});
        check(out.back() == 12345, "feed forward " + name + " writes outside");
        out.pop_back();
        check(out == expected, "feed forward " + name + ' ' + std::to_string(rows) + " rows " + isa_name(isa));
      }
    }
  }
}

/** Products of bf16 are those of the rounded operands, whatever the order in which K is gone through: what a step too few or too many would not be. */
void check_rounded(std::size_t columns, std::size_t rows) {
  constexpr std::size_t outputs = 200;
  Context context(2);
  Case c;
  c.columns = columns;
  c.add(DType::bf16, outputs, 3);
  std::vector<float> weights(outputs * columns);
  dequantize(context, c.sources, weights.data());
  std::vector<float> x = random_values(rows * columns, 4);
  for (float& value : x) value = bf16_to_f32(f32_to_bf16(value));
  const std::vector<float> residual = random_values(rows * outputs, 5);
  const Expected want = expected(c, weights, x, rows, {}, residual);
  const PackedWeight packed(context, c.sources, Compute::int8);
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    std::vector<float> out(rows * outputs);
    linear(context, Compute::int8, packed, x.data(), rows, false, nullptr, residual.data(), out.data());
    check_close(out, want.values, 1e-5 * want.magnitude, 0, "linear of rounded rows, " + std::to_string(columns) + " columns, " + std::to_string(rows) + " rows " + isa_name(isa));
  }
}

void test_feed_forward() {
  const auto one = [](DType type, std::size_t rows, std::size_t columns, unsigned seed) {
    Case c;
    c.columns = columns;
    c.add(type, rows, seed);
    return c;
  };
  for (const std::size_t rows : {1, 23, 24, 300}) {
    check_feed_forward(one(DType::q4_1, 2 * 96, 64, 1), one(DType::q4_1, 64, 96, 2), "q4_1", rows, false);
    check_feed_forward(one(DType::q8_0, 2 * 1536, 576, 1), one(DType::q4_0, 48, 1536, 2), "long", rows, false);
  }
  check_feed_forward(one(DType::q4_1, 2 * 96, 64, 1), one(DType::q4_1, 64, 96, 2), "biases", 40, true);
  check_feed_forward(one(DType::q4_1, 2 * 96, 64, 1), one(DType::q4_1, 80, 96, 2), "norms where the results go", 40, false);
  check_feed_forward(one(DType::f16, 2 * 48, 65, 1), one(DType::bf16, 33, 48, 2), "odd columns", 40, false);
  check_feed_forward(one(DType::bf16, 2 * 21, 64, 1), one(DType::bf16, 64, 21, 2), "ragged halves", 40, false);
  check_feed_forward(one(DType::bf16, 2 * 48, 64, 1), one(DType::f32, 64, 48, 2), "f32 after bf16", 40, false);
}

}  // namespace

void test_linear() {
  test_gated();
  test_feed_forward();
  for (const std::size_t columns : {576, 1536, 2048, 4096}) {
    for (const std::size_t rows : {50, 300}) check_rounded(columns, rows);
  }
  for (int index = 0; index < dtype_count; index++) {
    const auto type = static_cast<DType>(index);
    if (type == DType::i32 || type == DType::u8) continue;
    if (block_layout(type).values > 1) check_largest(type);
    for (const std::size_t rows : {1, 4, 7, 23, 70}) {
      Case c;
      c.columns = 512;
      c.add(type, 50, 3);
      run_case(c, dtype_name(type), rows, rows != 4);
    }
  }
  for (const DType type : {DType::q4_0, DType::q4_1, DType::q8_0, DType::iq4_nl}) check_rows_alone(type, 544);
  for (const DType type : {DType::q2_k, DType::q4_k, DType::q6_k}) check_rows_alone(type, 512);
  for (const DType type : {DType::bf16, DType::f16}) check_rows_alone(type, 75);
  Case stacked;
  stacked.columns = 768;
  stacked.add(DType::q4_1, 96, 1, true);
  stacked.add(DType::q6_k, 32, 2);
  stacked.add(DType::bf16, 17, 3);
  for (const std::size_t rows : {1, 8, 9, 250}) run_case(stacked, "stacked", rows, true);
  Case alike;
  alike.columns = 576;
  alike.add(DType::q4_1, 192, 1, true);
  alike.add(DType::q4_1, 70, 2);
  alike.add(DType::q5_1, 33, 3);
  for (const std::size_t rows : {1, 5, 30}) run_case(alike, "alike", rows, rows == 5);
  Case odd;
  odd.columns = 77;
  odd.add(DType::f32, 33, 1);
  odd.add(DType::f16, 5, 2);
  odd.add(DType::bf16, 16, 3);
  for (const std::size_t rows : {1, 3, 40}) run_case(odd, "odd", rows, true);
}

}  // namespace kvsift::tests

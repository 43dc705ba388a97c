#include <bit>
#include <limits>
#include <set>

#include "check.h"
#include "math/attention.h"
#include "math/numbers.h"
#include "math/rows.h"

namespace KVSIFT_TEST_SPACE {

namespace math = kvsift::KVSIFT_TARGET;

KVSIFT_TEST(philox_vectors, "philox: the known answers of Random123 (kat_vectors, philox4x32 10)") {
  std::uint32_t zero[4] = {0, 0, 0, 0};
  math::philox(zero, 0, 0);
  expect_same(std::vector<std::uint32_t>(zero, zero + 4), {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}, "zeros");
  std::uint32_t ones[4] = {~0u, ~0u, ~0u, ~0u};
  math::philox(ones, ~0u, ~0u);
  expect_same(std::vector<std::uint32_t>(ones, ones + 4), {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}, "ones");
  std::uint32_t pi[4] = {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u};
  math::philox(pi, 0xa4093822u, 0x299f31d0u);
  expect_same(std::vector<std::uint32_t>(pi, pi + 4), {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}, "digits of pi");
}

KVSIFT_TEST(uniform_values, "uniform: word index mod 4 of block index / 4, inside (0, 1), for every row length") {
  for (const std::size_t columns : {std::size_t{1}, std::size_t{4}, std::size_t{7}, std::size_t{1030}}) {
    const kvsift_cuda_random_key key{5, 6, 7, 8};
    Buffer<float> out(3 * columns);
    good(kvsift_cuda_uniform(context(), nullptr, key, 3, columns, out.get()));
    std::vector<float> want;
    for (std::uint32_t row = 0; row < 3; row++) {
      for (std::uint32_t c = 0; c < columns; c++) {
        std::uint32_t words[4] = {c / 4, row, 7, 8};
        math::philox(words, 5, 6);
        want.push_back(static_cast<float>(((words[c % 4] >> 9) + 0.5) / 8388608));
        expect(want.back() > 0 && want.back() < 1, "outside (0, 1)");
      }
    }
    expect_same(out.read(), want, "uniform");
  }
}

KVSIFT_TEST(halves, "f16: every half widens and rounds back to itself; rounding is to nearest even") {
  for (std::uint32_t bits = 0; bits < 65536; bits++) {
    const float value = math::f16_widen(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) {
      expect(std::isnan(math::f16_widen(math::f16_round(value))), "NaN is lost");
    } else {
      expect(math::f16_round(value) == bits, "half " + std::to_string(bits) + " does not come back");
    }
  }
  Numbers numbers(1);
  for (int i = 0; i < 20000; i++) {
    const float x = std::ldexp(numbers.normal(1)[0], numbers.integer(-28, 17));
    const float got = math::f16_widen(math::f16_round(x));
    if (std::isinf(got)) {
      expect(std::abs(x) >= 65520, "overflow too early");
      continue;
    }
    const auto bits = static_cast<std::uint16_t>(math::f16_round(std::abs(x)));
    const float up = math::f16_widen(static_cast<std::uint16_t>(bits + 1));
    const float down = bits > 0 ? math::f16_widen(static_cast<std::uint16_t>(bits - 1)) : 0;
    const float error = std::abs(std::abs(got) - std::abs(x));
    expect(error <= std::abs(up - std::abs(x)) && error <= std::abs(std::abs(x) - down), "a nearer half exists");
  }
}

KVSIFT_TEST(brain_floats, "bf16: nearest even, NaN stays NaN, largest values round to infinity") {
  expect(math::bf16_round(1.0F) == 0x3f80, "one");
  expect(math::bf16_round(std::bit_cast<float>(0x3f808000u)) == 0x3f80, "ties to even, down");
  expect(math::bf16_round(std::bit_cast<float>(0x3f818000u)) == 0x3f82, "ties to even, up");
  expect(std::isnan(math::bf16_widen(math::bf16_round(std::bit_cast<float>(0x7f800001u)))), "a NaN with low bits only");
  expect(std::isinf(math::bf16_widen(math::bf16_round(std::numeric_limits<float>::max()))), "largest float");
}

KVSIFT_TEST(order_keys, "order: keys sort as values do, zeros are equal, NaN counts as −∞ among scores") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> rising{-infinity, -1e30F, -1, -1e-40F, 0, 1e-40F, 1, 1e30F, infinity};
  for (std::size_t i = 1; i < rising.size(); i++) {
    expect(math::ascending(rising[i - 1]) < math::ascending(rising[i]), "ascending");
    expect(math::descending(rising[i - 1]) > math::descending(rising[i]), "descending");
  }
  expect(math::ascending(-0.0F) == math::ascending(0.0F), "zeros differ");
  expect(math::descending(NAN) == math::descending(-infinity), "NaN among scores");
  expect(math::ascending(NAN) > math::ascending(infinity), "NaN among values");
  expect(math::descending(infinity) > 0, "0 is kept for protected entries");
}

KVSIFT_TEST(split_plans, "split plan: covers all entries, stays within its bound, and evens out ragged heads") {
  Numbers numbers(3);
  for (int turn = 0; turn < 300; turn++) {
    const int items = numbers.integer(1, 60);
    const int target = numbers.integer(1, 600);
    std::vector<int> lengths;
    std::int64_t total = 0;
    for (int i = 0; i < items; i++) {
      lengths.push_back(numbers.integer(0, 3) == 0 ? 0 : numbers.integer(1, numbers.integer(0, 4) == 0 ? 100000 : 300));
      total += lengths.back();
    }
    const math::SplitPlan plan = math::split_plan(total, target);
    std::vector<std::int32_t> first{0};
    for (const int length : lengths) first.push_back(first.back() + math::pieces_of(plan, length));
    expect(plan.chunk % 64 == 0 && plan.chunk >= 64, "chunk");
    expect(math::coarser(plan).chunk > plan.chunk && math::coarser(plan).chunk % 64 == 0, "coarser chunk");
    expect(first.back() <= target + items, "more pieces than are launched");
    for (int piece = 0; piece < first.back(); piece++) {
      const int item = math::item_of(first.data(), items, piece);
      expect(first[static_cast<std::size_t>(item)] <= piece && piece < first[static_cast<std::size_t>(item) + 1], "piece of another item");
    }
    for (int item = 0; item < items; item++) {
      const int pieces = first[static_cast<std::size_t>(item) + 1] - first[static_cast<std::size_t>(item)];
      const int length = lengths[static_cast<std::size_t>(item)];
      expect(static_cast<std::int64_t>(pieces) * plan.chunk >= length && static_cast<std::int64_t>(pieces - 1) * plan.chunk < std::max(length, 1), "cover");
    }
  }
  // A head with 50 entries beside one with 50,000: the long one gets nearly all of the pieces.
  const math::SplitPlan plan = math::split_plan(50050, 528);
  expect(math::pieces_of(plan, 50) == 1 && math::pieces_of(plan, 50000) > 380, "50 and 50,000");
}

KVSIFT_TEST(sight_ranges, "sight: causal ends, rows behind, sampled ends and windows against a walk over all entries") {
  Numbers numbers(4);
  for (int turn = 0; turn < 400; turn++) {
    const int length = numbers.integer(0, 40);
    std::vector<std::int32_t> entry_positions;
    int at = 0;
    for (int i = 0; i < length; i++) entry_positions.push_back(at += numbers.integer(1, 4));
    const std::int32_t start = 0;
    math::KvView view{};
    view.starts = &start;
    view.positions = entry_positions.data();
    math::Sight sight;
    sight.rows = numbers.integer(1, 10);
    sight.behind = numbers.integer(0, 3);
    sight.causal = numbers.integer(0, 3) > 0;
    sight.window = numbers.integer(0, 1) * numbers.integer(1, 30);
    std::vector<std::int32_t> positions;
    std::vector<std::int32_t> ends;
    for (int row = 0; row < sight.rows; row++) {
      positions.push_back(numbers.integer(0, 100));
      ends.push_back(numbers.integer(0, length + 3));
    }
    sight.positions = positions.data();
    if (numbers.integer(0, 2) == 0) sight.ends = ends.data();
    for (int row = 0; row < sight.rows; row++) {
      const math::SlotRange range = math::seen_by(sight, view, 0, length, row);
      for (int slot = 0; slot < length; slot++) {
        const auto r = static_cast<std::size_t>(row);
        const bool in_mask = sight.ends != nullptr ? slot < ends[r] : !sight.causal || slot < length - sight.behind - sight.rows + row + 1;
        const bool in_window = sight.window == 0 || entry_positions[static_cast<std::size_t>(slot)] > positions[r] - sight.window;
        expect((slot >= range.first && slot < range.end) == (in_mask && in_window), "an entry is seen wrongly");
      }
    }
  }
}

KVSIFT_TEST(rotations, "rope angles: as exact as f32 at positions up to ten million") {
  Numbers numbers(5);
  for (int i = 0; i < 20000; i++) {
    const std::int32_t position = numbers.integer(0, 10000000);
    const float frequency = std::exp2(-static_cast<float>(numbers.integer(0, 2000)) / 100);
    const double angle = static_cast<double>(position) * frequency;
    const math::Rotation turn = math::rotation(position, frequency, 1.5F);
    expect(std::abs(turn.cosine - 1.5 * std::cos(angle)) < 5e-7 && std::abs(turn.sine - 1.5 * std::sin(angle)) < 5e-7, "angle " + std::to_string(angle));
  }
}

}  // namespace KVSIFT_TEST_SPACE

#pragma once

#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "kvsift/context.h"

namespace kvsift::tests {

/** Counts what holds and prints what does not. */
class Report {
 public:
  void check(bool holds, const std::string& what) {
    (holds ? passed : failed)++;
    if (!holds) std::printf("failed: %s\n", what.c_str());
  }
  void near(const std::vector<float>& actual, const std::vector<float>& expected, const std::string& what, float tolerance = 1e-5f) {
    bool holds = actual.size() == expected.size();
    for (std::size_t i = 0; holds && i < actual.size(); i++) {
      const bool both_nan = std::isnan(actual[i]) && std::isnan(expected[i]);
      holds = both_nan || actual[i] == expected[i] || std::fabs(actual[i] - expected[i]) <= tolerance * (1 + std::fabs(expected[i]));
    }
    check(holds, what);
  }

  int passed = 0;
  int failed = 0;
};

/** Numbers in (-1, 1) that are the same in every run. */
inline std::vector<float> noise(std::size_t count, std::uint32_t seed = 1) {
  std::vector<float> out(count);
  for (float& value : out) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<std::int32_t>(seed)) / 2147483648.0f;
  }
  return out;
}

void test_memory(Report& report);
void test_stream(Report& report);
void test_elementwise(Report& report, Context& context);
void test_formula(Report& report, Context& context);
void test_rows(Report& report, Context& context);
void test_layout(Report& report, Context& context);
void test_matmul(Report& report, Context& context);
void test_select(Report& report, Context& context);
void test_cache(Report& report);

}  // namespace kvsift::tests

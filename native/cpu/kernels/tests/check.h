#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kvsift/context.h"

namespace kvsift::tests {

/** Counts of the whole program. */
struct Tally {
  int passed = 0;
  int failed = 0;
};

Tally& tally();

/** Counts one check; prints it where it fails. */
inline void check(bool right, const std::string& what) {
  if (right) {
    tally().passed++;
  } else {
    tally().failed++;
    std::printf("FAILED %s\n", what.c_str());
  }
}

/** Each |got − want| ≤ absolute + relative · |want|. Reports the worst. */
template <class Want>
void check_close(const std::vector<float>& got, const std::vector<Want>& want, double absolute, double relative, const std::string& what) {
  double worst = 0;
  std::size_t where = 0;
  bool right = got.size() == want.size();
  for (std::size_t i = 0; right && i < got.size(); i++) {
    if (static_cast<double>(got[i]) == static_cast<double>(want[i])) continue;
    const double excess = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) - relative * std::abs(static_cast<double>(want[i]));
    if (!(excess <= worst)) {
      worst = excess;
      where = i;
    }
  }
  right = right && worst <= absolute;
  std::string detail;
  if (!right && where < got.size()) {
    detail = ": at " + std::to_string(where) + " got " + std::to_string(got[where]) + ", expected " + std::to_string(static_cast<double>(want[where]));
  }
  check(right, what + detail);
}

/** Normal numbers with an outlier now and then. */
inline std::vector<float> random_values(std::size_t count, unsigned seed, float outlier = 8) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (auto& value : values) {
    value = normal(generator);
    if (generator() % 101 == 0) value *= outlier;
  }
  return values;
}

/** Every instruction set that this machine can run. */
inline std::vector<Isa> supported_sets() {
  std::vector<Isa> sets;
  for (int level = 0; level < isa_count; level++) {
    if (isa_supported(static_cast<Isa>(level))) sets.push_back(static_cast<Isa>(level));
  }
  return sets;
}

/** The folder with shared data beside the repository; empty where it is not there. */
std::string shared_folder();

void test_pool();
void test_formats();
void test_linear();
void test_moments();
void test_projection();
void test_rows();
void test_elementwise();
void test_reduce();
void test_kv();
void test_attention();
void test_attention_steps();
void test_columns();
void test_sampling();

}  // namespace kvsift::tests

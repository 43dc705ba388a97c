#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kvsift_cuda.h"

// A test program without a framework: tests register themselves under the machine that they were compiled for.
namespace kvsift::tests {

struct Test {
  std::string name;
  void (*run)();
};

/** Tests of the host or of the device. */
std::vector<Test>& host_tests();
std::vector<Test>& device_tests();

struct Failure {
  std::string text;
};

inline void expect(bool holds, const std::string& text) {
  if (!holds) throw Failure{text};
}

}  // namespace kvsift::tests

#ifdef KVSIFT_EMULATED
#define KVSIFT_TEST_SPACE kvsift::tests::host
#define KVSIFT_TESTS host_tests
#else
#define KVSIFT_TEST_SPACE kvsift::tests::device
#define KVSIFT_TESTS device_tests
#endif

namespace KVSIFT_TEST_SPACE {

#ifdef KVSIFT_EMULATED
using namespace kvsift::emulated;
#endif

using kvsift::tests::expect;

struct Register {
  Register(const char* name, void (*run)()) { kvsift::tests::KVSIFT_TESTS().push_back({name, run}); }
};

#define KVSIFT_TEST(id, text)          \
  static void id();                    \
  static const Register id##_(text, id); \
  static void id()

/** The context of the tests; opened at the first call. */
kvsift_cuda_context* context();
/** Device memory and copies. */
void* take_memory(std::size_t bytes);
void give_memory(void* memory);
void copy_in(void* device, const void* host, std::size_t bytes);
/** Waits for all ops. */
void copy_out(void* host, const void* device, std::size_t bytes);

/** Fails the test where an op was refused. */
inline void good(kvsift_cuda_status status) {
  expect(status == KVSIFT_CUDA_OK, std::string(kvsift_cuda_status_name(status)) + ": " + kvsift_cuda_message(context()));
}

inline std::int32_t faults() {
  std::int32_t word = -1;
  good(kvsift_cuda_read_faults(context(), nullptr, &word));
  copy_out(nullptr, nullptr, 0);
  return word;
}

/** Device memory between two guard regions, which are looked at when it goes. Starts as NaN. */
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : count_(count), bytes_(guard_ + count * sizeof(T) + guard_, 0xff) {
    memory_ = static_cast<unsigned char*>(take_memory(bytes_.size()));
    for (std::size_t i = 0; i < guard_; i++) bytes_[i] = bytes_[bytes_.size() - 1 - i] = 0xa5;
    copy_in(memory_, bytes_.data(), bytes_.size());
  }
  explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) { copy_in(get(), values.data(), values.size() * sizeof(T)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { give_memory(memory_); }

  T* get() const { return reinterpret_cast<T*>(memory_ + guard_); }
  std::size_t size() const { return count_; }
  /** Values, after a look at the guards. */
  std::vector<T> read() {
    copy_out(bytes_.data(), memory_, bytes_.size());
    for (std::size_t i = 0; i < guard_; i++) expect(bytes_[i] == 0xa5 && bytes_[bytes_.size() - 1 - i] == 0xa5, "a kernel wrote outside its buffer");
    const T* first = reinterpret_cast<const T*>(bytes_.data() + guard_);
    return std::vector<T>(first, first + count_);
  }

 private:
  static constexpr std::size_t guard_ = 256;
  std::size_t count_;
  std::vector<unsigned char> bytes_;
  unsigned char* memory_ = nullptr;
};

/** Numbers of the tests; equal on every run. */
class Numbers {
 public:
  explicit Numbers(unsigned seed) : engine_(seed) {}
  std::vector<float> normal(std::size_t count, float deviation = 1) {
    std::normal_distribution<float> draw(0, deviation);
    std::vector<float> out(count);
    for (float& x : out) x = draw(engine_);
    return out;
  }
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

/** |got − want| ≤ absolute + relative · |want| everywhere; equal non-finite values. */
template <class Want>
void expect_near(const std::vector<float>& got, const std::vector<Want>& want, double absolute, double relative, const std::string& what) {
  expect(got.size() == want.size(), what + ": sizes differ");
  for (std::size_t i = 0; i < got.size(); i++) {
    const double w = want[i];
    const double g = got[i];
    const bool both_nan = std::isnan(w) && std::isnan(g);
    if (both_nan || w == g || std::abs(g - w) <= absolute + relative * std::abs(w)) continue;
    std::ostringstream text;
    text << what << "[" << i << "] is " << g << ", not " << w;
    expect(false, text.str());
  }
}

template <class T>
void expect_same(const std::vector<T>& got, const std::vector<T>& want, const std::string& what) {
  expect(got.size() == want.size(), what + ": sizes differ");
  for (std::size_t i = 0; i < got.size(); i++) {
    if (got[i] == want[i]) continue;
    std::ostringstream text;
    text << what << "[" << i << "] is " << +got[i] << ", not " << +want[i];
    expect(false, text.str());
  }
}

}  // namespace KVSIFT_TEST_SPACE

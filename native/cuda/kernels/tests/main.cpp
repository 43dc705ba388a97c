#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "check.h"

// All tests, on the host and, where there is one, on device 0. An argument runs the tests whose names contain it, or with a ! in front
// those whose names do not; --device leaves out those on the host, --without <name> one test. --seconds <n> tells of each test when it begins and what came
// of it, and begins none after that time: whoever stops the program knows what is left.

namespace kvsift::tests {

std::vector<Test>& host_tests() {
  static std::vector<Test> tests;
  return tests;
}
std::vector<Test>& device_tests() {
  static std::vector<Test> tests;
  return tests;
}

namespace device {
/** Why there is no device; empty where there is one. Defined where the CUDA library is linked. */
std::string missing();
}  // namespace device

namespace host {

kvsift_cuda_context* context() {
  static kvsift_cuda_context* const opened = [] {
    kvsift_cuda_context* made = nullptr;
    if (kvsift_cuda_open(0, &made) != KVSIFT_CUDA_OK) std::abort();
    return made;
  }();
  return opened;
}
void* take_memory(std::size_t bytes) { return std::aligned_alloc(256, (bytes + 255) / 256 * 256); }
void give_memory(void* memory) { std::free(memory); }
void copy_in(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}
void copy_out(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

}  // namespace host

namespace {

struct Counts {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
};

struct Choice {
  bool host = true;
  std::string_view only;
  std::vector<std::string_view> without;
  bool tells = false;
  std::chrono::steady_clock::time_point last{};

  bool wants(const std::string& name) const {
    if (std::ranges::find(without, name) != without.end()) return false;
    const bool not_these = only.starts_with('!');
    return only.empty() || (name.find(only.substr(not_these ? 1 : 0)) == std::string::npos) == not_these;
  }
};

Choice read(int argc, char** argv) {
  Choice choice;
  for (int at = 1; at < argc; at++) {
    const std::string_view word = argv[at];
    if (word == "--device") {
      choice.host = false;
    } else if (word == "--without" && at + 1 < argc) {
      choice.without.emplace_back(argv[++at]);
    } else if (word == "--seconds" && at + 1 < argc) {
      choice.tells = true;
      choice.last = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[++at]));
    } else {
      choice.only = word;
    }
  }
  return choice;
}

void run(const char* machine, const std::vector<Test>& tests, const Choice& choice, Counts& counts) {
  const auto tell = [&](const char* what, const Test& test) {
    if (choice.tells) std::printf("%s: %s\n", what, test.name.c_str());
    std::fflush(stdout);
  };
  for (const Test& test : tests) {
    if (!choice.wants(test.name)) continue;
    if (choice.tells && std::chrono::steady_clock::now() > choice.last) {
      counts.skipped++;
      tell("left out", test);
      continue;
    }
    tell("begins", test);
    try {
      test.run();
      counts.passed++;
      tell("passed", test);
    } catch (const Failure& failure) {
      counts.failed++;
      std::printf("FAILED (%s) %s: %s\n", machine, test.name.c_str(), failure.text.c_str());
    }
    std::fflush(stdout);
  }
}

}  // namespace

}  // namespace kvsift::tests

int main(int argc, char** argv) {
  using namespace kvsift::tests;
  const Choice choice = read(argc, argv);
  Counts counts;
  if (choice.host) run("host", host_tests(), choice, counts);
#ifdef KVSIFT_WITH_DEVICE
  const std::string why = device::missing();
  if (why.empty()) {
    run("device", device_tests(), choice, counts);
  } else {
    counts.skipped += static_cast<int>(device_tests().size());
    std::printf("The same tests on a device are skipped: %s\n", why.c_str());
  }
#else
  counts.skipped += static_cast<int>(host_tests().size());
  std::printf("The same tests on a device are skipped: built without nvcc\n");
#endif
  std::printf("%d passed, %d failed, %d skipped\n", counts.passed, counts.failed, counts.skipped);
  return counts.failed == 0 ? 0 : 1;
}

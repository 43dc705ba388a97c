#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "check.h"

// All tests, on the host and, where there is one, on device 0. An argument runs the tests whose names contain it, or with a ! in front
// those whose names do not; --device leaves out those on the host.

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

bool wanted(const std::string& name, const char* only) {
  if (only == nullptr) return true;
  const bool without = *only == '!';
  return (name.find(without ? only + 1 : only) == std::string::npos) == without;
}

void run(const char* machine, const std::vector<Test>& tests, const char* only, Counts& counts) {
  for (const Test& test : tests) {
    if (!wanted(test.name, only)) continue;
    try {
      test.run();
      counts.passed++;
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
  const bool host = argc < 2 || std::strcmp(argv[1], "--device") != 0;
  const int name = host ? 1 : 2;
  const char* only = argc > name ? argv[name] : nullptr;
  Counts counts;
  if (host) run("host", host_tests(), only, counts);
#ifdef KVSIFT_WITH_DEVICE
  const std::string why = device::missing();
  if (why.empty()) {
    run("device", device_tests(), only, counts);
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

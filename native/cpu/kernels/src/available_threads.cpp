#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <string>
#include <thread>

#include "kvsift/context.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace kvsift {

#if defined(__linux__)
namespace {

std::size_t affinity_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<std::size_t>(CPU_COUNT(&set)) : 0;
}

/** CPUs that quota / period allow; 0 where nothing limits. */
std::size_t quota_count(double quota, double period) {
  return quota > 0 && period > 0 ? static_cast<std::size_t>(std::ceil(quota / period)) : 0;
}

/** Version 2: "max 100000" or "150000 100000" in cpu.max of the group and those above it. */
std::size_t cgroup2_count(std::string path) {
  std::size_t least = 0;
  for (;;) {
    std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max") {
      const std::size_t count = quota_count(std::strtod(quota.c_str(), nullptr), period);
      if (count > 0) least = least == 0 ? count : std::min(least, count);
    }
    const auto slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return least;
    path.resize(slash);
  }
}

std::size_t cgroup1_count() {
  double quota = 0;
  double period = 0;
  std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
  std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  return quota_count(quota, period);
}

std::size_t cgroup_count() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) {
      const std::string path = line.substr(3);
      if (const std::size_t count = cgroup2_count(path == "/" ? "" : path); count > 0) return count;
    }
  }
  return cgroup1_count();
}

}  // namespace
#endif

std::size_t available_threads() {
  std::size_t count = std::max(1U, std::thread::hardware_concurrency());
#if defined(__linux__)
  if (const std::size_t allowed = affinity_count(); allowed > 0) count = std::min(count, allowed);
  if (const std::size_t quota = cgroup_count(); quota > 0) count = std::min(count, quota);
#endif
  return count;
}

}  // namespace kvsift

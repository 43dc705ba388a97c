#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace kvsift {

class Device;

/**
 * Host memory for data on their way to or from the device. Small pieces come from one pinned slab, so that JavaScript's thread, which fills them, never
 * asks the driver for memory; large ones are ordinary memory. Thread-safe.
 */
class HostMemory : public std::enable_shared_from_this<HostMemory> {
 public:
  explicit HostMemory(Device& device);

  /** Freed when the last pointer goes. @throws std::bad_alloc */
  std::shared_ptr<void> take(std::size_t bytes);

 private:
  static constexpr std::size_t slab_bytes = std::size_t{16} << 20;
  static constexpr std::size_t smallest = 256;
  static constexpr int classes = 13;  // 256 bytes to 1 MiB

  std::mutex mutex_;
  std::shared_ptr<void> slab_;
  std::size_t used_ = 0;
  std::array<std::vector<void*>, classes> free_;
};

}  // namespace kvsift

#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/device.h"

namespace kvsift {

/**
 * Small blocks of device memory that captured graphs work in, at addresses that stay. A block that is given back serves whoever captures next: graphs of
 * one stream never run at the same time. They live as long as this. Thread-safe.
 */
class LastingBlocks {
 public:
  /** Larger blocks are the graph's own business: beside what works on them nobody sees the time that taking them costs. */
  static constexpr std::size_t largest = std::size_t{4} << 20;

  explicit LastingBlocks(Device& device) : device_(device) {}
  ~LastingBlocks();
  LastingBlocks(const LastingBlocks&) = delete;
  LastingBlocks& operator=(const LastingBlocks&) = delete;

  /** Null where the block would be too large, or there is no memory. */
  void* take(std::size_t bytes);
  /** @return whether it was one of these */
  bool give(void* block) noexcept;

 private:
  Device& device_;
  std::mutex mutex_;
  /** By size, a power of two; each list has room for all blocks that were made, so that giving back cannot fail. */
  std::map<std::size_t, std::vector<void*>> free_;
  std::unordered_map<void*, std::size_t> sizes_;
};

}  // namespace kvsift

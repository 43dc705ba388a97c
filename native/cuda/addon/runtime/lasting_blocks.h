#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace kvsift {

/**
 * Small blocks of device memory that captured graphs work in, at addresses that stay. A block that is given back serves whoever captures next: graphs of
 * one stream never run at the same time. Thread-safe.
 */
class LastingBlocks {
 public:
  struct Block {
    void* data;
    std::size_t bytes;
  };
  /** Larger blocks are the graph's own business: beside what works on them nobody sees the time that taking them costs. */
  static constexpr std::size_t largest = std::size_t{4} << 20;

  /** @param make gives memory of a size, or null */
  explicit LastingBlocks(std::function<void*(std::size_t bytes)> make) : make_(std::move(make)) {}

  /** Null where the block would be too large, or there is no memory. */
  void* take(std::size_t bytes);
  /** @return whether it was one of these */
  bool give(void* block) noexcept;
  /** Another graph begins to be captured. */
  void begin();
  /** The blocks that were made since then, and their sizes; they are no longer of this list. For when no graph came of it and nobody uses them. */
  std::vector<Block> undo();
  /** All blocks, likewise. */
  std::vector<Block> clear();

 private:
  std::function<void*(std::size_t)> make_;
  std::mutex mutex_;
  /** By size, a power of two; each list has room for all blocks that were made, so that giving back cannot fail. */
  std::map<std::size_t, std::vector<void*>> free_;
  std::unordered_map<void*, std::size_t> sizes_;
  std::vector<Block> fresh_;
};

}  // namespace kvsift

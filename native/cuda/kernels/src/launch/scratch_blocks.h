#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "simt/simt.h"

namespace kvsift::KVSIFT_TARGET {

/**
 * Small pieces of device memory that have been used and wait to be used again on the same stream, whose order keeps their users apart. They live as long
 * as the context: a graph that was captured on a stream uses the pieces of that stream whenever it is launched.
 */
class ScratchBlocks {
 public:
  struct Block {
    void* data = nullptr;
    std::size_t bytes = 0;
  };
  /** Larger pieces are the business of the memory pool. */
  static constexpr std::size_t largest = std::size_t{4} << 20;

  static bool keeps(std::size_t bytes) { return bytes <= largest; }
  /** A size that many requests share: the next power of two. */
  static std::size_t rounded(std::size_t bytes);

  /** A piece of `rounded(bytes)`; without data where none waits: the caller makes one. */
  Block take(Stream stream, std::size_t bytes);
  /** A piece that was taken on the stream. */
  void give(Stream stream, Block block) noexcept;
  /** All pieces that wait, which are no longer the list's. */
  std::vector<Block> clear();

 private:
  struct List {
    std::vector<void*> waiting;  // has room for all that were made, so that giving back cannot fail
    std::size_t made = 0;
  };
  std::map<std::pair<Stream, std::size_t>, List> lists_;
};

}  // namespace kvsift::KVSIFT_TARGET

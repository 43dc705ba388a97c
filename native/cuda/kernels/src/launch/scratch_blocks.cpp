#include "launch/scratch_blocks.h"

#include <algorithm>
#include <bit>

namespace kvsift::KVSIFT_TARGET {

std::size_t ScratchBlocks::rounded(std::size_t bytes) { return std::bit_ceil(std::max<std::size_t>(bytes, 256)); }

ScratchBlocks::Block ScratchBlocks::take(Stream stream, std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  List& list = lists_[{stream, size}];
  if (list.waiting.empty()) {
    list.waiting.reserve(++list.made);
    return {nullptr, size};
  }
  void* data = list.waiting.back();
  list.waiting.pop_back();
  return {data, size};
}

void ScratchBlocks::give(Stream stream, Block block) noexcept { lists_.find({stream, block.bytes})->second.waiting.push_back(block.data); }

std::vector<ScratchBlocks::Block> ScratchBlocks::clear() {
  std::vector<Block> out;
  for (auto& [key, list] : lists_) {
    for (void* data : list.waiting) out.push_back({data, key.second});
    list.waiting.clear();
  }
  return out;
}

}  // namespace kvsift::KVSIFT_TARGET

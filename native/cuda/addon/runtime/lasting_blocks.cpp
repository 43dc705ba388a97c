#include "runtime/lasting_blocks.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace kvsift {

void* LastingBlocks::take(std::size_t bytes) {
  if (bytes > largest) return nullptr;
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(bytes, 256));
  const std::lock_guard lock(mutex_);
  std::vector<void*>& list = free_[size];
  if (!list.empty()) {
    void* block = list.back();
    list.pop_back();
    return block;
  }
  void* block = make_(size);
  if (block == nullptr) return nullptr;
  sizes_.emplace(block, size);
  list.reserve(sizes_.size());
  fresh_.push_back({block, size});
  return block;
}

bool LastingBlocks::give(void* block) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(block);
  if (found == sizes_.end()) return false;
  free_[found->second].push_back(block);
  return true;
}

void LastingBlocks::begin() {
  const std::lock_guard lock(mutex_);
  fresh_.clear();
}

std::vector<LastingBlocks::Block> LastingBlocks::undo() {
  const std::lock_guard lock(mutex_);
  for (const Block& block : fresh_) {
    std::erase(free_[block.bytes], block.data);
    sizes_.erase(block.data);
  }
  return std::exchange(fresh_, {});
}

std::vector<LastingBlocks::Block> LastingBlocks::clear() {
  const std::lock_guard lock(mutex_);
  std::vector<Block> blocks;
  for (const auto& [block, size] : sizes_) blocks.push_back({block, size});
  sizes_.clear();
  free_.clear();
  fresh_.clear();
  return blocks;
}

}  // namespace kvsift

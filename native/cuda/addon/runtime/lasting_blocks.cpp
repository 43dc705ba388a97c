#include "runtime/lasting_blocks.h"

#include <algorithm>
#include <bit>

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
  return block;
}

bool LastingBlocks::give(void* block) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(block);
  if (found == sizes_.end()) return false;
  free_[found->second].push_back(block);
  return true;
}

std::vector<void*> LastingBlocks::clear() {
  const std::lock_guard lock(mutex_);
  std::vector<void*> blocks;
  for (const auto& [block, size] : sizes_) blocks.push_back(block);
  sizes_.clear();
  free_.clear();
  return blocks;
}

}  // namespace kvsift

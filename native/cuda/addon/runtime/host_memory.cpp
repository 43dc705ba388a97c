#include "runtime/host_memory.h"

#include <new>

#include "runtime/device.h"

namespace kvsift {

HostMemory::HostMemory(Device& device) : slab_(device.pinned(slab_bytes)) {}

std::shared_ptr<void> HostMemory::take(std::size_t bytes) {
  int own = 0;
  while (own < classes && smallest << own < bytes) own++;
  if (own < classes) {
    const std::lock_guard lock(mutex_);
    void* piece = nullptr;
    if (!free_[own].empty()) {
      piece = free_[own].back();
      free_[own].pop_back();
    } else if (used_ + (smallest << own) <= slab_bytes) {
      piece = static_cast<std::byte*>(slab_.get()) + used_;
      used_ += smallest << own;
    }
    if (piece != nullptr) {
      return {piece, [self = shared_from_this(), own](void* back) {
                const std::lock_guard again(self->mutex_);
                self->free_[own].push_back(back);
              }};
    }
  }
  return {::operator new(bytes), [](void* back) { ::operator delete(back); }};
}

}  // namespace kvsift

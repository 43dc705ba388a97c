#pragma once

#include <cstddef>
#include <memory>

namespace kvsift {

/** Memory of its own, 64-byte aligned; from some megabytes on in large pages where the system gives them. @throws std::bad_alloc */
std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes);

/**
 * Cuts small pieces off large slabs, so that weights of less than a page of 2 MB lie in large pages too: streaming them stops at every small page
 * otherwise. A slab lives as long as a piece of it.
 */
class LastingMemory {
 public:
  std::shared_ptr<std::byte> take(std::size_t bytes);

 private:
  std::weak_ptr<std::byte> slab_;
  std::size_t used_ = 0;
};

}  // namespace kvsift

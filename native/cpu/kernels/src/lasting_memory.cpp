#include "lasting_memory.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace kvsift {

namespace {

constexpr std::size_t large_page = std::size_t{2} << 20;
constexpr std::size_t slab_bytes = 8 * large_page;

}  // namespace

std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes) {
  const bool large = bytes >= slab_bytes / 2;
  const std::size_t alignment = large ? large_page : 64;
  bytes = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, bytes));
  if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (large) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return {data, [](std::byte* memory) { std::free(memory); }};
}

std::shared_ptr<std::byte> LastingMemory::take(std::size_t bytes) {
  if (bytes >= slab_bytes / 2) return allocate_aligned(bytes);
  const std::size_t rounded = (bytes + 63) / 64 * 64;
  std::shared_ptr<std::byte> slab = slab_.lock();
  if (slab == nullptr || used_ + rounded > slab_bytes) {
    slab = allocate_aligned(slab_bytes);
    slab_ = slab;
    used_ = 0;
  }
  std::byte* piece = slab.get() + used_;
  used_ += rounded;
  return {std::move(slab), piece};
}

}  // namespace kvsift

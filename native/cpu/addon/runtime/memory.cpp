#include "runtime/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <new>

namespace kvsift {

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t large_page = std::size_t{2} << 20;

void* map(std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return data;
}

/** Blocks that can hold a large page begin on one: a cache that decoding reads over and over costs far fewer address translations. */
void* map_pages(std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  if (bytes >= large_page) {
    auto* data = static_cast<std::byte*>(map(bytes + large_page));
    const std::size_t before = (large_page - reinterpret_cast<std::uintptr_t>(data) % large_page) % large_page;
    if (before > 0) munmap(data, before);
    if (before < large_page) munmap(data + before + bytes, large_page - before);
    madvise(data + before, bytes, MADV_HUGEPAGE);
    return data + before;
  }
#endif
  return map(bytes);
}

}  // namespace

Memory::Memory(std::size_t limit) : limit_(limit) {}

Memory::~Memory() {
  trim();
  for (const Block& slab : slabs_) munmap(slab.data, slab.capacity);
}

/** Steps of 64 bytes up to 512, then four classes per doubling. */
std::size_t Memory::size_class(std::size_t bytes, std::size_t& capacity) {
  if (bytes <= 512) {
    const std::size_t step = std::max<std::size_t>(1, (bytes + 63) / 64);
    capacity = step * 64;
    return step - 1;
  }
  const std::size_t octave = std::bit_width(bytes - 1) - 1;  // 2^octave <= bytes - 1 < 2^(octave + 1)
  const std::size_t quarter = std::size_t{1} << (octave - 2);
  const std::size_t step = (bytes - (std::size_t{1} << octave) + quarter - 1) / quarter;  // 1 ... 4
  capacity = (std::size_t{1} << octave) + step * quarter;
  return 8 + (octave - 9) * 4 + step - 1;
}

void* Memory::carve(std::size_t capacity) {
  if (slab_left_ < capacity) {
    // The rest of the old slab serves smaller classes.
    for (std::size_t size = small_limit; size >= 64 && slab_left_ >= 64; size /= 2) {
      while (slab_left_ >= size) {
        std::size_t rounded = 0;
        free_[size_class(size, rounded)].push_back(slab_next_);
        slab_next_ += size;
        slab_left_ -= size;
      }
    }
    slab_next_ = static_cast<std::byte*>(map_pages(slab_bytes));
    slab_left_ = slab_bytes;
    slabs_.push_back({slab_next_, slab_bytes});
  }
  void* data = slab_next_;
  slab_next_ += capacity;
  slab_left_ -= capacity;
  return data;
}

Block Memory::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes <= small_limit) {
    std::size_t capacity = 0;
    auto& free = free_[size_class(bytes, capacity)];
    if (free.empty()) return {carve(capacity), capacity};
    void* data = free.back();
    free.pop_back();
    return {data, capacity};
  }
  if (bytes > (std::size_t{1} << 46)) throw std::bad_alloc();
  const std::size_t capacity = (bytes + page - 1) / page * page;
  const auto found = idle_.lower_bound(capacity);
  if (found != idle_.end() && found->first <= capacity + capacity / 4) {
    const Block block = found->second.block;
    idle_.erase(found);
    idle_bytes_ -= block.capacity;
    return block;
  }
  drop_excess();
  return {map_pages(capacity), capacity};
}

void Memory::release(Block block) {
  if (block.data == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (block.capacity <= small_limit) {
    std::size_t capacity = 0;
    free_[size_class(block.capacity, capacity)].push_back(block.data);
    return;
  }
  if (block.capacity > idle_limit / 2 && !may_wait(block.capacity)) {
    munmap(block.data, block.capacity);
    return;
  }
  idle_.emplace(block.capacity, Idle{block, ++clock_});
  idle_bytes_ += block.capacity;
  drop_excess();
}

bool Memory::may_wait(std::size_t more) const { return bytes_ + idle_bytes_ + more <= most_ + idle_limit; }

void Memory::drop_excess() {
  while (!idle_.empty() && !may_wait(0)) drop_oldest();
}

void Memory::drop_oldest() {
  const auto oldest = std::min_element(idle_.begin(), idle_.end(), [](const auto& a, const auto& b) { return a.second.age < b.second.age; });
  munmap(oldest->second.block.data, oldest->second.block.capacity);
  idle_bytes_ -= oldest->second.block.capacity;
  idle_.erase(oldest);
}

void Memory::trim() {
  const std::lock_guard lock(mutex_);
  while (!idle_.empty()) drop_oldest();
  most_ = bytes_.load();
}

void Memory::add(std::size_t bytes, bool weight) {
  const std::size_t before = bytes_.load(std::memory_order_relaxed);
  if (limit_ != 0 && (bytes > limit_ || before > limit_ - bytes)) throw NoRoom(bytes, before < limit_ ? limit_ - before : 0, before);
  const std::size_t now = bytes_ += bytes;
  if (weight) weights_ += bytes;
  if (now > peak_.load(std::memory_order_relaxed)) peak_ = now;
  if (now > most_.load(std::memory_order_relaxed)) most_ = now;
}

void Memory::remove(std::size_t bytes, bool weight) {
  bytes_ -= bytes;
  if (weight) weights_ -= bytes;
}

MemoryUse Memory::use() const { return {bytes_.load(), peak_.load(), weights_.load()}; }

void Memory::reset_peak() { peak_ = bytes_.load(); }

}  // namespace kvsift

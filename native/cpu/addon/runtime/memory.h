#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace kvsift {

/** A piece of memory and the bytes that were really set aside for it. */
struct Block {
  void* data = nullptr;
  std::size_t capacity = 0;
};

/** Bytes of tensors as the stream has allocated and freed them. */
struct MemoryUse {
  std::size_t bytes = 0;
  std::size_t peak_bytes = 0;
  std::size_t weight_bytes = 0;
};

/** Tensors would hold more than they may. */
struct NoRoom : std::bad_alloc {
  NoRoom(std::size_t wanted_bytes, std::size_t free_bytes, std::size_t held_bytes) : wanted(wanted_bytes), free(free_bytes), held(held_bytes) {}
  std::size_t wanted;
  std::size_t free;
  std::size_t held;
};

/**
 * Memory of tensors, 64-byte aligned. Small blocks are carved from slabs and recycled by size class; large ones are mapped one by one, and a few
 * freed ones are kept for the next op, so that a running stream does not ask the system. `trim` gives those back. Thread-safe.
 */
class Memory {
 public:
  /** @param limit most bytes that tensors may hold; 0: what the system gives */
  explicit Memory(std::size_t limit);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /** Uninitialised. @throws std::bad_alloc */
  Block allocate(std::size_t bytes);
  void release(Block block);

  /** Counts bytes of a tensor. @throws NoRoom where that would pass the limit */
  void add(std::size_t bytes, bool weight);
  void remove(std::size_t bytes, bool weight);
  MemoryUse use() const;
  void reset_peak();

  /** Returns the large blocks that wait for reuse to the system. */
  void trim();
  /** Bytes of large blocks that wait for reuse. */
  std::size_t idle_bytes() const { return idle_bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t small_limit = 64 * 1024;
  static constexpr std::size_t slab_bytes = 1024 * 1024;
  /** Bytes that large blocks which wait and what is in use may have beyond what was in use at once before. */
  static constexpr std::size_t idle_limit = 48 * 1024 * 1024;
  static constexpr std::size_t class_count = 40;

  static std::size_t size_class(std::size_t bytes, std::size_t& capacity);
  void* carve(std::size_t capacity);
  bool may_wait(std::size_t more) const;
  void drop_excess();
  void drop_oldest();

  const std::size_t limit_;
  std::mutex mutex_;
  std::array<std::vector<void*>, class_count> free_;
  std::vector<Block> slabs_;
  std::byte* slab_next_ = nullptr;
  std::size_t slab_left_ = 0;
  struct Idle {
    Block block;
    std::uint64_t age;
  };
  std::multimap<std::size_t, Idle> idle_;
  std::uint64_t clock_ = 0;
  std::atomic<std::size_t> idle_bytes_{0};
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::size_t> most_{0};  // in use at once since the last trim
  std::atomic<std::size_t> weights_{0};
};

}  // namespace kvsift

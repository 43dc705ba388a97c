#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>

#include "runtime/device.h"

namespace kvsift {

/** A piece of device memory. */
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

/** There is not enough device memory. */
struct NoRoom : std::bad_alloc {
  NoRoom(std::size_t wanted_bytes, std::size_t free_bytes) : wanted(wanted_bytes), free(free_bytes) {}
  std::size_t wanted;
  std::size_t free;
};

/**
 * Memory of tensors on the device, in stream order, counted exactly: a tensor counts from the op that makes it to the release behind its last op.
 * Thread-safe.
 */
class Memory {
 public:
  /** @param limit most bytes that tensors may hold; 0: what the device has */
  Memory(std::shared_ptr<Device> device, std::size_t limit) : device_(std::move(device)), limit_(limit) {}

  /** Uninitialised. @throws NoRoom */
  Block allocate(std::size_t bytes);
  void release(Block block) noexcept;

  /** Counts bytes of a tensor. @throws NoRoom where that would pass the limit */
  void add(std::size_t bytes, bool weight);
  void remove(std::size_t bytes, bool weight);
  MemoryUse use() const { return {bytes_.load(), peak_.load(), weights_.load()}; }
  void reset_peak() { peak_ = bytes_.load(); }

  /** From now until `end_window` the largest number of bytes beyond those of now is noted. */
  void begin_window();
  std::size_t end_window();
  /** For a moment this much more was in use than is now. */
  void touch(std::size_t extra);

  const std::shared_ptr<Device>& device() const { return device_; }

 private:
  static void raise(std::atomic<std::size_t>& peak, std::size_t value);

  std::shared_ptr<Device> device_;
  const std::size_t limit_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::size_t> weights_{0};
  std::atomic<std::size_t> window_peak_{0};
  std::size_t window_start_ = 0;
};

}  // namespace kvsift

#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "kvsift/weights.h"
#include "runtime/device.h"

namespace kvsift {

/**
 * The way of weights to the device: a few pinned buffers in turn, so that one goes up while the next is read from the file. Made by the first load.
 */
class UploadRing {
 public:
  explicit UploadRing(Device& device);

  /** Rows as they lie in the file, in their order, one behind the other. Waits for the file and for buffers, not for the last copies. */
  void upload(const WeightSource& source, std::size_t row_bytes, void* to);

 private:
  static constexpr std::size_t buffer_bytes = std::size_t{4} << 20;
  static constexpr std::size_t buffers = 3;

  struct Buffer {
    std::shared_ptr<void> data;
    Event free;
  };
  /** The next buffer, when it is free. */
  std::byte* next();
  /** Sends its first bytes. */
  void send(void* to, std::size_t bytes);

  Device& device_;
  std::array<Buffer, buffers> ring_;
  std::size_t turn_ = 0;
};

}  // namespace kvsift

#include "runtime/upload.h"

#include <algorithm>
#include <cstring>

namespace kvsift {

UploadRing::UploadRing(Device& device) : device_(device) {
  for (Buffer& buffer : ring_) buffer.data = device.pinned(buffer_bytes);
}

std::byte* UploadRing::next() {
  Buffer& buffer = ring_[turn_];
  if (buffer.free) device_.wait(buffer.free);
  return static_cast<std::byte*>(buffer.data.get());
}

void UploadRing::send(void* to, std::size_t bytes) {
  Buffer& buffer = ring_[turn_];
  device_.copy_in(to, buffer.data.get(), bytes);
  buffer.free = device_.record();
  turn_ = (turn_ + 1) % buffers;
}

void UploadRing::upload(const WeightSource& source, std::size_t row_bytes, void* to) {
  const auto* from = static_cast<const std::byte*>(source.data);
  auto* target = static_cast<std::byte*>(to);
  const std::size_t total = source.rows * row_bytes;
  // In pieces of whole rows where these change places, else of bytes; a row is far smaller than a buffer.
  const std::size_t rows_at_once = std::max<std::size_t>(1, buffer_bytes / std::max<std::size_t>(row_bytes, 1));
  const std::size_t step = source.row_order != nullptr ? std::min(rows_at_once * row_bytes, buffer_bytes) : buffer_bytes;
  for (std::size_t at = 0; at < total; at += step) {
    const std::size_t bytes = std::min(step, total - at);
    std::byte* buffer = next();
    if (source.row_order == nullptr) {
      std::memcpy(buffer, from + at, bytes);
    } else {
      for (std::size_t done = 0; done < bytes; done += row_bytes) {
        const auto row = static_cast<std::size_t>(source.row_order[(at + done) / row_bytes]);
        std::memcpy(buffer + done, from + row * row_bytes, row_bytes);
      }
    }
    send(target + at, bytes);
  }
}

}  // namespace kvsift

#include "runtime/memory.h"

#include "kvsift/weights.h"

namespace kvsift {

Block Memory::allocate(std::size_t bytes) {
  // A tensor without elements has a place too: without one it would count as not yet made.
  const std::size_t capacity = bytes > 0 ? bytes : 1;
  void* data = device_->allocate(capacity);
  if (data == nullptr) throw NoRoom(bytes, device_->memory().free);
  return {data, capacity};
}

void Memory::release(Block block) noexcept {
  if (block.data != nullptr) device_->release(block.data, block.capacity);
}

void Memory::raise(std::atomic<std::size_t>& peak, std::size_t value) {
  std::size_t now = peak.load();
  while (now < value && !peak.compare_exchange_weak(now, value)) {
  }
}

void Memory::add(std::size_t bytes, bool weight) {
  const std::size_t before = bytes_.load();
  if (limit_ != 0 && (bytes > limit_ || before > limit_ - bytes)) throw NoRoom(bytes, before < limit_ ? limit_ - before : 0);
  const std::size_t now = bytes_ += bytes;
  if (weight) weights_ += bytes;
  raise(peak_, now);
  raise(window_peak_, now);
}

void Memory::remove(std::size_t bytes, bool weight) {
  bytes_ -= bytes;
  if (weight) weights_ -= bytes;
}

void Memory::begin_window() {
  window_start_ = bytes_.load();
  window_peak_ = window_start_;
}

std::size_t Memory::end_window() { return window_peak_.load() - window_start_; }

void Memory::touch(std::size_t extra) { raise(peak_, bytes_.load() + extra); }

void* PackedWeight::take(std::size_t bytes) {
  const Block block = memory_->allocate(bytes);
  pieces_.push_back({block.data, block.capacity});
  return block.data;
}

PackedWeight::~PackedWeight() {
  for (const Piece& piece : pieces_) memory_->release({piece.data, piece.bytes});
}

}  // namespace kvsift

#pragma once

#include <cstring>
#include <new>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/** Host data on their way into the stream. */
class Staged {
 public:
  Staged(const char* op, std::shared_ptr<Memory> memory, const void* data, std::size_t bytes) : memory_(std::move(memory)) {
    try {
      block_ = memory_->allocate(bytes);
    } catch (const std::bad_alloc&) {
      throw Fault(Code::out_of_memory, op, std::string(op) + ": there is not enough memory for " + std::to_string(bytes) + " bytes");
    }
    if (bytes != 0) std::memcpy(block_.data, data, bytes);
  }
  ~Staged() { memory_->release(block_); }
  Staged(const Staged&) = delete;
  Staged& operator=(const Staged&) = delete;

  void copy_into(Context&, Storage& storage) const {
    if (storage.bytes() != 0) std::memcpy(storage.data(), block_.data, storage.bytes());
  }
  /** Makes the block the memory of a storage. */
  void move_into(Context&, Storage& storage) {
    storage.adopt(block_);
    block_ = {};
  }

 private:
  std::shared_ptr<Memory> memory_;
  Block block_;
};

}  // namespace kvsift

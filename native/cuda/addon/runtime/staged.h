#pragma once

#include <cstring>
#include <memory>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/** Host data on their way into the stream. */
class Staged {
 public:
  Staged(const char* op, const std::shared_ptr<Memory>& memory, const void* data, std::size_t bytes) {
    try {
      data_ = memory->device()->host_memory().take(bytes);
    } catch (const std::bad_alloc&) {
      throw Fault(Code::out_of_memory, op, std::string(op) + ": there is not enough host memory for " + std::to_string(bytes) + " bytes");
    }
    if (bytes != 0) std::memcpy(data_.get(), data, bytes);
  }

  void copy_into(Context& context, Storage& storage) const {
    if (storage.bytes() == 0) return;
    context.device().copy_in(storage.data(), data_.get(), storage.bytes());
    context.keep(data_);
  }
  void move_into(Context& context, Storage& storage) const {
    storage.drop();
    storage.ensure();
    copy_into(context, storage);
  }

 private:
  std::shared_ptr<void> data_;
};

}  // namespace kvsift

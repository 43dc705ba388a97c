#pragma once

#include "kvsift/context.h"
#include "runtime/memory.h"

namespace kvsift {

/** Device memory for the work of one op; it goes back in stream order and is not counted as a tensor's. */
class DeviceScratch {
 public:
  /** @throws NoRoom */
  DeviceScratch(Context& context, std::size_t bytes) : device_(context.device()), bytes_(bytes > 0 ? bytes : 1), data_(device_.allocate(bytes_)) {
    if (data_ == nullptr) throw NoRoom(bytes_, device_.memory().free);
  }
  ~DeviceScratch() { device_.release(data_, bytes_); }
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;

  void* data() const { return data_; }
  float* floats() const { return static_cast<float*>(data_); }

 private:
  Device& device_;
  std::size_t bytes_;
  void* data_;
};

}  // namespace kvsift

#pragma once

#include <memory>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/** The bytes of a tensor on their way to the host: devices that cannot reach each other's memory are served too. */
class HostCopy {
 public:
  HostCopy() = default;
  HostCopy(Context& context, const Storage& storage)
      : data_(context.device().host_memory().take(storage.bytes())), checks_(storage.checks), device_(context.shared_device()) {
    if (storage.bytes() > 0) device_->copy_out(data_.get(), storage.data(), storage.bytes());
    // Whoever was to receive it may be gone before it is there.
    context.keep(data_);
    copied_ = device_->record();
  }

  /** Waits for the device that has the tensor. @throws Fault where it says that the contents do not exist */
  void copy_into(Context& context, Storage& storage) const {
    device_->wait(copied_);
    if (const Check* failed = first_failed(checks_)) throw Fault(failed->failure());
    if (storage.bytes() == 0) return;
    context.device().copy_in(storage.data(), data_.get(), storage.bytes());
    context.keep(data_);
  }

 private:
  std::shared_ptr<void> data_;
  Checks checks_;
  std::shared_ptr<Device> device_;
  Event copied_;
};

}  // namespace kvsift

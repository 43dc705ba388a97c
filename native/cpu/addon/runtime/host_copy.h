#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/** The bytes of a tensor on the host. */
class HostCopy {
 public:
  HostCopy() = default;
  HostCopy(Context&, const Storage& storage)
      : data_(static_cast<const std::byte*>(storage.data()), static_cast<const std::byte*>(storage.data()) + storage.bytes()) {}

  void copy_into(Context&, Storage& storage) const {
    if (!data_.empty()) std::memcpy(storage.data(), data_.data(), data_.size());
  }

 private:
  std::vector<std::byte> data_;
};

}  // namespace kvsift

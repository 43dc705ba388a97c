#pragma once

#include <cstring>
#include <future>
#include <vector>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/** The contents of a tensor on their way from the stream of one backend to that of another. The receiver's executor waits for the sender's. */
class Letter {
 public:
  /** Copies; where there is nothing to send, says why. */
  void send(Context&, const Storage& storage) {
    Contents out;
    out.failure = storage.failure;
    if (!out.failure && storage.data() == nullptr) {
      out.failure = std::make_shared<const Failure>(Failure{Code::invalid_argument, "receive", "receive: the program that makes this tensor has not run"});
    }
    if (!out.failure) {
      const auto* data = static_cast<const std::byte*>(storage.data());
      out.data.assign(data, data + storage.bytes());
    }
    contents_.set_value(std::move(out));
  }

  /** @throws Fault why the contents do not exist */
  void receive(Context&, Storage& storage) {
    Contents in;
    try {
      in = contents_.get_future().get();
    } catch (const std::future_error&) {
      throw Fault(Code::disposed, "receive", "receive: the backend that has the tensor was disposed");
    }
    if (in.failure) throw Fault(in.failure);
    if (storage.bytes() != 0) std::memcpy(storage.data(), in.data.data(), storage.bytes());
  }

 private:
  struct Contents {
    FailurePointer failure;
    std::vector<std::byte> data;
  };
  std::promise<Contents> contents_;
};

}  // namespace kvsift

#pragma once

#include <future>
#include <memory>

#include "kvsift/context.h"
#include "runtime/storage.h"

namespace kvsift {

/**
 * The contents of a tensor on their way from the stream of one backend to that of another, through host memory: devices that cannot reach each other's
 * memory are served too. Each end is used by its own executor; the receiver's waits for the sender's.
 */
class Letter {
 public:
  /** Enqueues the copy out; where there is nothing to send, says why. */
  void send(Context& context, const Storage& storage) {
    Contents out;
    out.failure = storage.failure;
    if (!out.failure && storage.data() == nullptr) {
      out.failure = std::make_shared<const Failure>(Failure{Code::invalid_argument, "receive", "receive: the program that makes this tensor has not run"});
    }
    if (!out.failure) {
      out.data = context.device().host_memory().take(storage.bytes());
      if (storage.bytes() > 0) context.device().copy_out(out.data.get(), storage.data(), storage.bytes());
      out.checks = storage.checks;
      out.device = context.shared_device();
      out.copied = out.device->record();
    }
    contents_.set_value(std::move(out));
  }

  /** Waits for the copy and enqueues the one into `storage`. @throws Fault why the contents do not exist */
  void receive(Context& context, Storage& storage) {
    Contents in;
    try {
      in = contents_.get_future().get();
    } catch (const std::future_error&) {
      throw Fault(Code::disposed, "receive", "receive: the backend that has the tensor was disposed");
    }
    if (in.failure) throw Fault(in.failure);
    in.device->wait(in.copied);
    if (const Check* failed = first_failed(in.checks)) throw Fault(failed->failure());
    if (storage.bytes() == 0) return;
    context.device().copy_in(storage.data(), in.data.get(), storage.bytes());
    context.keep(in.data);
  }

 private:
  struct Contents {
    FailurePointer failure;
    std::shared_ptr<void> data;
    Checks checks;
    std::shared_ptr<Device> device;
    Event copied;
  };
  std::promise<Contents> contents_;
};

}  // namespace kvsift

#pragma once

#include <future>
#include <memory>
#include <utility>

#include "runtime/host_copy.h"

namespace kvsift {

/** The contents of a tensor on their way from the stream of one backend to that of another, through the host; or why they do not exist. */
struct Contents {
  FailurePointer failure;
  HostCopy copy;
};

/** The sender's end, for its executor. Where it goes without having sent, the receiver learns that. */
class LetterSender {
 public:
  std::shared_future<Contents> receiver() { return contents_.get_future().share(); }

  void send(Context& context, const Storage& storage) {
    try {
      Contents out;
      out.failure = storage.failure;
      if (!out.failure && storage.data() == nullptr) {
        out.failure = std::make_shared<const Failure>(Failure{Code::invalid_argument, "receive", "receive: the program that makes this tensor has not run"});
      }
      if (!out.failure) out.copy = HostCopy(context, storage);
      contents_.set_value(std::move(out));
    } catch (...) {
      contents_.set_exception(std::current_exception());
      throw;
    }
  }

 private:
  std::promise<Contents> contents_;
};

/** Waits for the sender and enqueues the copy into `storage`. @throws Fault why the contents do not exist */
inline void receive_letter(const std::shared_future<Contents>& letter, Context& context, Storage& storage) {
  try {
    const Contents& in = letter.get();
    if (in.failure) throw Fault(in.failure);
    in.copy.copy_into(context, storage);
  } catch (const std::future_error&) {
    throw Fault(Code::disposed, "receive", "receive: the backend that has the tensor was disposed");
  }
}

}  // namespace kvsift

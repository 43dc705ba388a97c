#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace kvsift {

/** Reasons that the addon gives; the names are those of `ErrorCode` in packages/tensor/src/errors.ts. */
enum class Code : std::uint8_t {
  invalid_argument,
  shape_mismatch,
  dtype_mismatch,
  disposed,
  out_of_memory,
  unsupported,
  file_not_found,
  file_unreadable,
  file_malformed,
  backend_failure,
  backend_unavailable,
};

const char* code_name(Code code);

/** What went wrong, in which op. */
struct Failure {
  Code code;
  std::string op;
  std::string message;
  /** Of `out_of_memory`, where they are known: bytes that were asked for, that were there, and that tensors held. */
  std::size_t wanted = 0;
  std::size_t available = 0;
  std::size_t held = 0;
};

using FailurePointer = std::shared_ptr<const Failure>;

/** A failure on its way to whoever handles it. */
class Fault : public std::exception {
 public:
  explicit Fault(FailurePointer failure) : failure_(std::move(failure)) {}
  Fault(Code code, std::string op, std::string message)
      : failure_(std::make_shared<const Failure>(Failure{code, std::move(op), std::move(message)})) {}

  const FailurePointer& failure() const { return failure_; }
  const char* what() const noexcept override { return failure_->message.c_str(); }

 private:
  FailurePointer failure_;
};

/** Throws an `invalid_argument` where the condition does not hold. */
inline void demand(bool condition, const char* op, const char* sentence) {
  if (!condition) throw Fault(Code::invalid_argument, op, sentence);
}

}  // namespace kvsift

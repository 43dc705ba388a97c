#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/device.h"
#include "runtime/failure.h"

namespace kvsift {

/** A word of pinned memory in which the device sets faults, with the memory that it lies in. */
using FaultWord = std::shared_ptr<volatile std::int32_t>;

/** Such words, one by one. Thread-safe. */
class FaultWords : public std::enable_shared_from_this<FaultWords> {
 public:
  explicit FaultWords(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  /** A word that holds 0. Called by the executor. */
  FaultWord take();

 private:
  static constexpr std::size_t slab_words = 16 * 1024;

  std::shared_ptr<Device> device_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<void>> slabs_;
  std::vector<volatile std::int32_t*> free_;
};

/** What only the device can say about one op: its fault word. Must live until the device has passed the op. */
struct Check {
  Check(const char* name, FaultWord own) : op(name), word(std::move(own)) {}

  const char* op;
  FaultWord word;
  /** Place of the op in the stream. */
  std::uint64_t ordinal = 0;
  /** False where somebody waits for this very op. */
  bool reports = true;

  /** The failure that the device has reported, or null. To be asked when the device has passed the op. */
  FailurePointer failure() const;
};

using CheckPointer = std::shared_ptr<Check>;
using Checks = std::vector<CheckPointer>;

/** The first op of some that failed; null where none did. */
const Check* first_failed(const Checks& checks);

}  // namespace kvsift

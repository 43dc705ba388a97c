#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "runtime/check.h"
#include "runtime/device.h"
#include "runtime/memory.h"
#include "runtime/upload.h"

namespace kvsift {

/** Memory that somebody still reads. */
using Kept = std::vector<std::shared_ptr<const void>>;

/** What ops run on: the stream of a device and its kernels. The executor's only. */
class Context {
 public:
  explicit Context(std::shared_ptr<Memory> memory) : memory_(std::move(memory)), device_(memory_->device()), words_(std::make_shared<FaultWords>(device_)) {}

  const Memory& memory() const { return *memory_; }
  Device& device() const { return *device_; }
  const std::shared_ptr<Device>& shared_device() const { return device_; }
  kvsift_cuda_context* kernels() const { return device_->kernels(); }
  kvsift_cuda_stream stream() const { return device_->stream(); }

  /** An op begins. */
  void begin(const char* op) {
    op_ = op;
    own_ = nullptr;
    watched_ = false;
  }
  const char* op() const { return op_; }
  /** The fault word of the op that has run, where it asked for one. */
  std::shared_ptr<Check> end();

  /** The kernels that follow may set faults of this op. */
  void watch();
  /** @throws Fault or NoRoom where an op of the kernels was refused */
  void run(kvsift_cuda_status status) const;

  /** Keeps something until the device has passed what was enqueued so far; while a program is captured, for the captured work. */
  void keep(std::shared_ptr<const void> what);
  /** Lets go of what the device has passed. */
  void let_go();

  /** While a program is captured its ops share `room` fault words on the device. */
  void begin_capture(std::int32_t* words, std::size_t room);
  /** @return what the captured work reads whenever it runs */
  Kept end_capture();
  bool capturing() const { return capturing_; }
  /** Words that ops of the capture have asked for so far. */
  std::size_t captured_words() const { return captured_count_; }

  /** Buffers for weights. */
  UploadRing& uploads() {
    if (!uploads_) uploads_ = std::make_unique<UploadRing>(*device_);
    return *uploads_;
  }

  /** Ops that have been enqueued so far, those of replays too; an op counts when it has been. */
  std::uint64_t ordinal() const { return ordinal_; }
  std::uint64_t count() { return ++ordinal_; }
  /**
   * Whether kernels from now on may read, before it is their turn, what the op with this number wrote: the device has passed it. What was written before a
   * graph starts is there for all of the graph.
   */
  bool steady(std::uint64_t written) const { return written <= (capturing_ ? ordinal_ : passed_.load(std::memory_order_acquire)); }

  /** Ordinal of the last op whose checks are settled: the device has passed it (the waiter writes it). */
  std::atomic<std::uint64_t>& passed() { return passed_; }

 private:
  struct Waiting {
    Event passed;
    std::shared_ptr<const void> what;
  };

  std::shared_ptr<Memory> memory_;
  std::shared_ptr<Device> device_;
  std::shared_ptr<FaultWords> words_;
  std::unique_ptr<UploadRing> uploads_;
  const char* op_ = "";
  std::shared_ptr<Check> own_;
  bool watched_ = false;
  bool capturing_ = false;
  std::int32_t* captured_words_ = nullptr;
  std::size_t captured_room_ = 0;
  std::size_t captured_count_ = 0;
  Kept captured_kept_;
  std::deque<Waiting> waiting_;
  std::uint64_t ordinal_ = 0;
  std::atomic<std::uint64_t> passed_{0};
};

}  // namespace kvsift

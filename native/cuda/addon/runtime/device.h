#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "runtime/host_memory.h"
#include "runtime/kernels.h"
#include "runtime/options.h"

namespace kvsift {

/** Bytes of device memory. */
struct DeviceMemory {
  std::size_t free = 0;
  std::size_t total = 0;
};

/** Something on the device that others can wait for. */
using Event = std::shared_ptr<void>;
/** Captured work that can be launched again and again. */
using DeviceGraph = std::shared_ptr<void>;

/**
 * One device with one stream: all of the CUDA runtime that the addon uses, or the host in its place (device_cuda.cpp, device_emulated.cpp). Calls enqueue
 * and return unless they say otherwise. @throws Fault `backend_failure` where the device reports an error
 */
class Device {
 public:
  /** @throws Fault `backend_unavailable` */
  static std::shared_ptr<Device> open(const BackendOptions& options);
  virtual ~Device() = default;
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  kvsift_cuda_context* kernels() const { return kernels_; }
  kvsift_cuda_stream stream() const { return stream_; }
  /** Memory for data on their way. */
  HostMemory& host_memory() const { return *host_memory_; }
  std::string description() const { return kvsift_cuda_description(kernels_); }

  /** The calling thread will work with this device. */
  virtual void enter() = 0;
  virtual DeviceMemory memory() = 0;
  /**
   * Stream-ordered memory; null where there is not enough. While work is captured small blocks are such as last, so that a graph neither takes nor gives
   * memory and its kernels follow each other directly. Any thread.
   */
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /** Gives memory that waits for reuse back to the system. */
  virtual void trim() noexcept = 0;
  /** Host memory that the device can read and write by itself. */
  virtual std::shared_ptr<void> pinned(std::size_t bytes) = 0;

  /** From or to host memory, which must stay until the device is done; where it is not pinned the call may wait. */
  virtual void copy_in(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_out(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill(void* to, int value, std::size_t bytes) = 0;

  virtual Event record() = 0;
  /** Whether the device has passed an event; does not wait. */
  virtual bool passed(const Event& event) = 0;
  /** Waits. Any thread. */
  virtual void wait(const Event& event) = 0;
  /** Waits for everything. */
  virtual void synchronise() = 0;

  virtual void begin_capture() = 0;
  /** Ends a capture; null where it broke off. */
  virtual DeviceGraph end_capture() noexcept = 0;
  /** The last capture came to nothing, and what was taken for it is given back: blocks that were made for it are no longer kept. */
  virtual void forget_capture() noexcept = 0;
  virtual void launch(const DeviceGraph& graph) = 0;

 protected:
  kvsift_cuda_context* kernels_ = nullptr;
  kvsift_cuda_stream stream_ = nullptr;
  std::shared_ptr<HostMemory> host_memory_;
};

}  // namespace kvsift

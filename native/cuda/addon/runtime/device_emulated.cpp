// The host in the place of a GPU, for tests: the kernels as written, on a stream with a thread of its own (kernels/src/simt/queue.h). Memory is as scarce as
// it is told to be, work runs later than it is enqueued, and graphs are what was captured.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <future>

#include "runtime/device.h"
#include "runtime/failure.h"
#include "runtime/lasting_blocks.h"
#include "simt/queue.h"

namespace kvsift {

namespace {

/** Device memory where no limit is given. */
constexpr std::size_t usual_bytes = std::size_t{2} << 30;

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(std::size_t limit) : total_(limit != 0 ? limit : usual_bytes) {
    if (kvsift_cuda_open(0, &kernels_) != KVSIFT_CUDA_OK) throw Fault(Code::backend_unavailable, "createCudaBackend", "the emulated device cannot be opened");
    stream_ = &queue_;
    host_memory_ = std::make_shared<HostMemory>(*this);
  }
  ~EmulatedDevice() override {
    queue_.wait();
    for (const LastingBlocks::Block& block : lasting_.clear()) std::free(block.data);
    kvsift_cuda_close(kernels_);
  }

  void enter() override {}
  DeviceMemory memory() override {
    const std::size_t used = used_.load();
    return {used < total_ ? total_ - used : 0, total_};
  }
  void* allocate(std::size_t bytes) override {
    if (capturing_) {
      void* block = lasting_.take(bytes);
      // What a graph reads before it wrote it must not look like a number.
      if (block != nullptr) fill(block, 0xff, bytes);
      if (block != nullptr) return block;
    }
    if (bytes > total_ || used_.load() > total_ - bytes) return nullptr;
    void* memory = emulated::take_memory(&queue_, bytes);
    if (memory != nullptr) used_ += bytes;
    return memory;
  }
  void release(void* memory, std::size_t bytes) noexcept override {
    if (lasting_.give(memory)) return;
    used_ -= bytes;
    emulated::give_memory(&queue_, memory, bytes);
  }
  void trim() noexcept override {}
  std::shared_ptr<void> pinned(std::size_t bytes) override {
    return {::operator new(bytes, std::align_val_t{256}), [](void* memory) { ::operator delete(memory, std::align_val_t{256}); }};
  }

  void copy_in(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
  void copy_out(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
  void fill(void* to, int value, std::size_t bytes) override {
    queue_.submit([=] { std::memset(to, value, bytes); });
  }

  Event record() override {
    auto passed = std::make_shared<std::promise<void>>();
    auto event = std::make_shared<std::shared_future<void>>(passed->get_future());
    queue_.submit_now([passed] { passed->set_value(); });
    return event;
  }
  bool passed(const Event& event) override {
    return static_cast<std::shared_future<void>*>(event.get())->wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  void wait(const Event& event) override { static_cast<std::shared_future<void>*>(event.get())->wait(); }
  void synchronise() override { queue_.wait(); }

  void begin_capture() override {
    queue_.begin_capture();
    lasting_.begin();
    capturing_ = true;
  }
  DeviceGraph end_capture() noexcept override {
    capturing_ = false;
    return queue_.end_capture();
  }
  void forget_capture() noexcept override {
    for (const LastingBlocks::Block& block : lasting_.undo()) {
      used_ -= block.bytes;
      std::free(block.data);
    }
  }
  void launch(const DeviceGraph& graph) override {
    queue_.submit([graph = std::static_pointer_cast<emulated::Graph>(graph)] {
      for (const emulated::Work& work : graph->work) work();
    });
  }

 private:
  void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) queue_.submit([=] { std::memcpy(to, from, bytes); });
  }

  const std::size_t total_;
  std::atomic<std::size_t> used_{0};
  emulated::Queue queue_;
  std::atomic<bool> capturing_{false};
  LastingBlocks lasting_{[this](std::size_t bytes) -> void* {
    if (bytes > total_ || used_.load() > total_ - bytes) return nullptr;
    used_ += bytes;
    return std::aligned_alloc(256, bytes);
  }};
};

}  // namespace

std::shared_ptr<Device> Device::open(const BackendOptions& options) {
  if (options.device != 0) {
    throw Fault(Code::backend_unavailable, "createCudaBackend", "there is no device " + std::to_string(options.device) + ": the emulated device is 0");
  }
  return std::make_shared<EmulatedDevice>(options.memory_limit);
}

}  // namespace kvsift

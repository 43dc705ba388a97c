// The CUDA runtime is linked in; it opens the driver by itself at the first call. So this file loads on every machine, and the first call tells what is
// missing.
#include <cuda_runtime.h>

#include <atomic>

#include "runtime/device.h"
#include "runtime/failure.h"
#include "runtime/lasting_blocks.h"

namespace kvsift {

namespace {

constexpr const char* maker = "createCudaBackend";

[[noreturn]] void unavailable(const std::string& text) { throw Fault(Code::backend_unavailable, maker, text); }

/** "13.0" */
std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

void good(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Fault(Code::out_of_memory, what, std::string(what) + ": there is not enough device memory");
  }
  throw Fault(Code::backend_failure, what, std::string(what) + ": the device reports: " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

/** Number of devices. @throws Fault `backend_unavailable` that says what is missing */
int count_devices() {
  int driver = 0;
  int runtime = 0;
  int count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (driver == 0) {
    unavailable("there is no NVIDIA driver on this machine (libcuda.so.1 was not found). Install the driver of the GPU (nvidia-smi must list it), in a container "
                "start it with --gpus all, or use --backend cpu");
  }
  if (error == cudaErrorInsufficientDriver) {
    unavailable("the NVIDIA driver is too old: it knows CUDA up to " + version(driver) + ", this build needs " + version(runtime) +
                ". Update the driver, or use --backend cpu");
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    unavailable("there is a driver but no GPU that this process may use. Look at nvidia-smi and at CUDA_VISIBLE_DEVICES, or use --backend cpu");
  }
  if (error != cudaSuccess) unavailable(std::string("the driver cannot be used: ") + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
  return count;
}

/** "NVIDIA L4 has compute capability 8.9" */
std::string capability(const cudaDeviceProp& properties) {
  return std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

class CudaDevice final : public Device {
 public:
  // Delegates, so that what the rest throws finds a device that can be destroyed.
  CudaDevice(int device, const cudaDeviceProp& properties) : CudaDevice(device) {
    cudaStream_t made = nullptr;
    good(cudaSetDevice(device), maker);
    good(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), maker);
    stream_ = made;
    const kvsift_cuda_status status = kvsift_cuda_open(device, &kernels_);
    if (status == KVSIFT_CUDA_UNSUPPORTED) {
      unavailable(capability(properties) + ", for which this build has no code. Build it again on this machine (npm run build:cuda, in a bundle ./gpu-check), or use "
                  "--backend cpu");
    }
    if (status != KVSIFT_CUDA_OK) unavailable("device " + std::to_string(device) + " cannot be opened: " + kvsift_cuda_status_name(status));
    host_memory_ = std::make_shared<HostMemory>(*this);
  }
  ~CudaDevice() override {
    cudaSetDevice(device_);
    if (stream_ != nullptr) cudaStreamSynchronize(stream());
    host_memory_ = nullptr;
    for (const LastingBlocks::Block& block : lasting_.clear()) cudaFree(block.data);
    kvsift_cuda_close(kernels_);
    if (stream_ != nullptr) cudaStreamDestroy(stream());
  }

  void enter() override { good(cudaSetDevice(device_), "device"); }
  DeviceMemory memory() override {
    DeviceMemory out;
    cudaSetDevice(device_);
    cudaMemGetInfo(&out.free, &out.total);
    // What the pool holds for reuse is free too.
    std::uint64_t reserved = 0;
    std::uint64_t used = 0;
    cudaMemPoolGetAttribute(pool(), cudaMemPoolAttrReservedMemCurrent, &reserved);
    cudaMemPoolGetAttribute(pool(), cudaMemPoolAttrUsedMemCurrent, &used);
    out.free += reserved - used;
    return out;
  }

  void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    cudaSetDevice(device_);
    if (capturing_) memory = lasting_.take(bytes);
    if (memory != nullptr) return memory;
    if (cudaMallocFromPoolAsync(&memory, bytes, pool(), stream()) == cudaSuccess) return memory;
    cudaGetLastError();
    if (capturing_) return nullptr;
    // What is freed but not yet passed by the stream, or lies in pieces in the pool, may be enough.
    good(cudaStreamSynchronize(stream()), "allocate");
    cudaMemPoolTrimTo(pool(), 0);
    if (cudaMallocFromPoolAsync(&memory, bytes, pool(), stream()) == cudaSuccess) return memory;
    cudaGetLastError();
    return nullptr;
  }
  void release(void* memory, std::size_t) noexcept override {
    if (lasting_.give(memory)) return;
    cudaSetDevice(device_);
    if (cudaFreeAsync(memory, stream()) != cudaSuccess) cudaGetLastError();
  }
  void trim() noexcept override {
    cudaMemPoolTrimTo(pool(), 0);
    cudaDeviceGraphMemTrim(device_);
  }
  std::shared_ptr<void> pinned(std::size_t bytes) override {
    void* memory = nullptr;
    const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw Fault(Code::out_of_memory, "device", "the system has no " + std::to_string(bytes) + " bytes of memory that it can pin for the device");
    }
    good(error, "device");
    return {memory, [](void* back) { cudaFreeHost(back); }};
  }

  void copy_in(void* to, const void* from, std::size_t bytes) override { good(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream()), "copy"); }
  void copy_out(void* to, const void* from, std::size_t bytes) override { good(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream()), "copy"); }
  void fill(void* to, int value, std::size_t bytes) override { good(cudaMemsetAsync(to, value, bytes, stream()), "fill"); }

  Event record() override {
    cudaEvent_t event = nullptr;
    good(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "wait");
    Event out(event, [](void* own) { cudaEventDestroy(static_cast<cudaEvent_t>(own)); });
    good(cudaEventRecord(event, stream()), "wait");
    return out;
  }
  bool passed(const Event& event) override {
    const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event.get()));
    if (error != cudaErrorNotReady) {
      good(error, "wait");
      return true;
    }
    // The runtime remembers it as the last error, which libraries look at.
    cudaGetLastError();
    return false;
  }
  void wait(const Event& event) override { good(cudaEventSynchronize(static_cast<cudaEvent_t>(event.get())), "wait"); }
  void synchronise() override { good(cudaStreamSynchronize(stream()), "wait"); }

  void begin_capture() override {
    // Relaxed: the other threads of the process go on using the driver meanwhile.
    good(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "record");
    lasting_.begin();
    capturing_ = true;
  }
  DeviceGraph end_capture() noexcept override {
    capturing_ = false;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    if (cudaStreamEndCapture(stream(), &graph) != cudaSuccess || graph == nullptr) {
      cudaGetLastError();
      return nullptr;
    }
    const cudaError_t error = cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    if (error != cudaSuccess) {
      cudaGetLastError();
      return nullptr;
    }
    return {ready, [](void* own) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(own)); }};
  }
  void forget_capture() noexcept override {
    for (const LastingBlocks::Block& block : lasting_.undo()) cudaFree(block.data);
  }
  void launch(const DeviceGraph& graph) override { good(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.get()), stream()), "run"); }

 private:
  explicit CudaDevice(int device) : device_(device) {}
  cudaStream_t stream() const { return static_cast<cudaStream_t>(stream_); }
  cudaMemPool_t pool() const { return static_cast<cudaMemPool_t>(kvsift_cuda_memory_pool(kernels_)); }

  int device_;
  std::atomic<bool> capturing_{false};
  // A capture would forbid cudaMalloc in other modes than the relaxed one.
  LastingBlocks lasting_{[](std::size_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) != cudaSuccess) cudaGetLastError();
    return memory;
  }};
};

}  // namespace

std::shared_ptr<Device> Device::open(const BackendOptions& options) {
  const int count = count_devices();
  if (options.device >= count) {
    unavailable("there is no device " + std::to_string(options.device) + ": this process sees " + std::to_string(count) + ", numbered from 0");
  }
  cudaDeviceProp properties{};
  good(cudaGetDeviceProperties(&properties, options.device), maker);
  if (properties.major < 8) {
    unavailable(capability(properties) + "; the kernels need 8.0 (Ampere) or newer. Use --backend cpu");
  }
  auto device = std::make_shared<CudaDevice>(options.device, properties);
  // Without cuBLASLt our own kernel multiplies.
  if (options.cublas) kvsift_cuda_use_cublas(device->kernels());
  return device;
}

}  // namespace kvsift

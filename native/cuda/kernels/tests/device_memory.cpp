#include <cuda_runtime.h>

#include "check.h"

// Memory of the tests on a device; copies wait for all ops.
namespace kvsift::tests::device {

std::string missing() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return count > 0 ? "" : "no CUDA device";
}

static void run(cudaError_t error) { expect(error == cudaSuccess, cudaGetErrorString(error)); }

kvsift_cuda_context* context() {
  static kvsift_cuda_context* const opened = [] {
    kvsift_cuda_context* made = nullptr;
    const kvsift_cuda_status status = kvsift_cuda_open(0, &made);
    expect(status == KVSIFT_CUDA_OK, std::string("the device cannot be opened: ") + kvsift_cuda_status_name(status));
    // Tests of the kernels for warpgroups switch them on.
    kvsift_cuda_use_warpgroups(made, 0);
    return made;
  }();
  return opened;
}
void* take_memory(std::size_t bytes) {
  void* memory = nullptr;
  run(cudaMalloc(&memory, bytes));
  return memory;
}
void give_memory(void* memory) { cudaFree(memory); }
void copy_in(void* device, const void* host, std::size_t bytes) { run(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice)); }
void copy_out(void* host, const void* device, std::size_t bytes) {
  run(cudaDeviceSynchronize());
  if (bytes > 0) run(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

}  // namespace kvsift::tests::device

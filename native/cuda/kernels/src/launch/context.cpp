#include "launch/context.h"

#include <cstring>

#include "launch/blas.h"

namespace kvsift::KVSIFT_TARGET {

void Launch::refuse(kvsift_cuda_status status, const std::string& text) const { throw Refusal{status, std::string(op) + ": " + text}; }

void Launch::pointer(const void* value, const char* name, std::size_t alignment) const {
  if (value == nullptr) refuse(KVSIFT_CUDA_INVALID_ARGUMENT, std::string(name) + " is null");
  if (reinterpret_cast<std::uintptr_t>(value) % alignment != 0) {
    refuse(KVSIFT_CUDA_MISALIGNED, std::string(name) + " must lie on a multiple of " + std::to_string(alignment) + " bytes");
  }
}

unsigned blocks_for(const Launch& launch, std::size_t count, std::size_t size) {
  const std::size_t blocks = ceil_div(count, size);
  launch.require(blocks <= 0x7fffffff, KVSIFT_CUDA_UNSUPPORTED, "too many elements for one launch: " + std::to_string(count));
  return static_cast<unsigned>(blocks);
}

#ifdef KVSIFT_EMULATED

void Launch::check(int error) const { require(error == 0, KVSIFT_CUDA_DEVICE_ERROR, "kernel start failed"); }

Scratch::Scratch(const Launch& launch, std::size_t bytes) : launch_(launch), bytes_(bytes) {
  if (bytes == 0) return;
  data_ = take_memory(launch.stream, bytes);
  launch.require(data_ != nullptr, KVSIFT_CUDA_OUT_OF_MEMORY, "no memory for scratch");
}
Scratch::~Scratch() { give_memory(launch_.stream, data_, bytes_); }

void fill_bytes(const Launch& launch, void* to, int value, std::size_t bytes) {
  enqueue(launch.stream, [=] { std::memset(to, value, bytes); });
}

#else

void Launch::check(int error) const {
  if (error == cudaSuccess) return;
  const auto code = static_cast<cudaError_t>(error);
  refuse(code == cudaErrorMemoryAllocation ? KVSIFT_CUDA_OUT_OF_MEMORY : KVSIFT_CUDA_DEVICE_ERROR, cudaGetErrorString(code));
}

Scratch::Scratch(const Launch& launch, std::size_t bytes) : launch_(launch), bytes_(bytes) {
  if (bytes == 0) return;
  launch.check(cudaMallocFromPoolAsync(&data_, bytes, static_cast<cudaMemPool_t>(launch.context.pool), launch.stream));
}
Scratch::~Scratch() {
  if (data_ != nullptr) cudaFreeAsync(data_, launch_.stream);
}

void fill_bytes(const Launch& launch, void* to, int value, std::size_t bytes) { launch.check(cudaMemsetAsync(to, value, bytes, launch.stream)); }

#endif

}  // namespace kvsift::KVSIFT_TARGET

#include "launch/context.h"

#include <cstdlib>
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

namespace {

/** Memory that outlives a graph in which it is first used. */
void* take_lasting(const Launch&, std::size_t bytes) { return std::aligned_alloc(256, ceil_div(bytes, 256) * 256); }
void* take_passing(const Launch& launch, std::size_t bytes) { return take_memory(launch.stream, bytes); }
void give_passing(const Launch& launch, ScratchBlocks::Block block) { give_memory(launch.stream, block.data, block.bytes); }

}  // namespace

void fill_bytes(const Launch& launch, void* to, int value, std::size_t bytes) {
  enqueue(launch.stream, [=] { std::memset(to, value, bytes); });
}

#else

void Launch::check(int error) const {
  if (error == cudaSuccess) return;
  const auto code = static_cast<cudaError_t>(error);
  refuse(code == cudaErrorMemoryAllocation ? KVSIFT_CUDA_OUT_OF_MEMORY : KVSIFT_CUDA_DEVICE_ERROR, cudaGetErrorString(code));
}

namespace {

/** False where memory was asked for in vain, which the runtime would remember. */
bool there_is_room(const Launch& launch, cudaError_t error) {
  if (error == cudaErrorMemoryAllocation) return cudaGetLastError(), false;
  launch.check(error);
  return true;
}
void* take_passing(const Launch& launch, std::size_t bytes) {
  void* data = nullptr;
  return there_is_room(launch, cudaMallocFromPoolAsync(&data, bytes, static_cast<cudaMemPool_t>(launch.context.pool), launch.stream)) ? data : nullptr;
}
/** Memory that outlives a graph in which it is first used. */
void* take_lasting(const Launch& launch, std::size_t bytes) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  launch.check(cudaStreamIsCapturing(launch.stream, &capturing));
  if (capturing == cudaStreamCaptureStatusNone) return take_passing(launch, bytes);
  void* data = nullptr;
  return there_is_room(launch, cudaMalloc(&data, bytes)) ? data : nullptr;
}
void give_passing(const Launch& launch, ScratchBlocks::Block block) { cudaFreeAsync(block.data, launch.stream); }

}  // namespace

void fill_bytes(const Launch& launch, void* to, int value, std::size_t bytes) { launch.check(cudaMemsetAsync(to, value, bytes, launch.stream)); }

#endif

Scratch::Scratch(const Launch& launch, std::size_t bytes) : launch_(launch), block_{nullptr, bytes} {
  if (bytes == 0) return;
  if (ScratchBlocks::keeps(bytes)) {
    block_ = launch.context.blocks.take(launch.stream, bytes);
    if (block_.data == nullptr) block_.data = take_lasting(launch, block_.bytes);
  } else {
    block_.data = take_passing(launch, bytes);
  }
  if (block_.data == nullptr) {
    launch.context.wanted = block_.bytes;
    launch.refuse(KVSIFT_CUDA_OUT_OF_MEMORY, "there are no " + std::to_string(block_.bytes) + " bytes of scratch memory");
  }
#ifdef KVSIFT_EMULATED
  // What an op reads before it wrote it must not look like a number.
  fill_bytes(launch, block_.data, 0xff, block_.bytes);
#endif
}

Scratch::~Scratch() {
  if (block_.data == nullptr) return;
  if (ScratchBlocks::keeps(block_.bytes)) {
    launch_.context.blocks.give(launch_.stream, block_);
  } else {
    give_passing(launch_, block_);
  }
}

}  // namespace kvsift::KVSIFT_TARGET

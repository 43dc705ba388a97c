#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "launch/blas.h"
#include "launch/context.h"
#include "launch/rows.h"

#ifdef KVSIFT_EMULATED
namespace kvsift::emulated {
#else
using namespace kvsift::KVSIFT_TARGET;
#endif

const char* kvsift_cuda_status_name(kvsift_cuda_status status) {
  switch (status) {
    case KVSIFT_CUDA_OK: return "ok";
    case KVSIFT_CUDA_INVALID_ARGUMENT: return "invalid_argument";
    case KVSIFT_CUDA_SHAPE_MISMATCH: return "shape_mismatch";
    case KVSIFT_CUDA_DTYPE_MISMATCH: return "dtype_mismatch";
    case KVSIFT_CUDA_MISALIGNED: return "misaligned";
    case KVSIFT_CUDA_UNSUPPORTED: return "unsupported";
    case KVSIFT_CUDA_OUT_OF_MEMORY: return "out_of_memory";
    default: return "device_error";
  }
}

const char* kvsift_cuda_message(const kvsift_cuda_context* context) { return context == nullptr ? "no context" : context->message.c_str(); }

size_t kvsift_cuda_wanted(const kvsift_cuda_context* context) { return context == nullptr ? 0 : context->wanted; }

const char* kvsift_cuda_description(const kvsift_cuda_context* context) { return context == nullptr ? "" : context->description.c_str(); }

void* kvsift_cuda_memory_pool(const kvsift_cuda_context* context) { return context == nullptr ? nullptr : context->pool; }

kvsift_cuda_status kvsift_cuda_use_cublas(kvsift_cuda_context* context) {
  if (context == nullptr) return KVSIFT_CUDA_INVALID_ARGUMENT;
  if (context->blas != nullptr) return KVSIFT_CUDA_OK;
  std::string tried;
  context->blas = Blas::load(tried).release();
  if (context->blas == nullptr) {
    context->message = "use_cublas: cuBLASLt was not found; tried " + tried + ". Set KVSIFT_CUBLAS to the file to use another";
    return KVSIFT_CUDA_UNSUPPORTED;
  }
  context->description += ", products on " + context->blas->path();
  return KVSIFT_CUDA_OK;
}

kvsift_cuda_status kvsift_cuda_use_warpgroups(kvsift_cuda_context* context, int use) {
  if (context == nullptr) return KVSIFT_CUDA_INVALID_ARGUMENT;
  context->warpgroups = use != 0 && context->has_warpgroups;
  if (use == 0 || context->warpgroups) return KVSIFT_CUDA_OK;
  context->message = "use_warpgroups: the device has none (they need compute capability 9.0), or the library was not compiled for 90a";
  return KVSIFT_CUDA_UNSUPPORTED;
}

kvsift_cuda_status kvsift_cuda_faults_at(kvsift_cuda_context* context, int32_t* word) {
  if (context == nullptr) return KVSIFT_CUDA_INVALID_ARGUMENT;
  context->faults = word != nullptr ? word : context->own_faults;
  return KVSIFT_CUDA_OK;
}

#ifdef KVSIFT_EMULATED

kvsift_cuda_status kvsift_cuda_open(int device, kvsift_cuda_context** out) {
  if (out == nullptr || device != 0) return KVSIFT_CUDA_INVALID_ARGUMENT;
  auto context = std::make_unique<kvsift_cuda_context>();
  context->faults = context->own_faults = new std::int32_t(0);
  context->description = "host in the place of a GPU";
  *out = context.release();
  return KVSIFT_CUDA_OK;
}

void kvsift_cuda_close(kvsift_cuda_context* context) {
  if (context == nullptr) return;
  delete context->own_faults;
  for (const auto& block : context->blocks.clear()) std::free(block.data);
  delete context;
}

kvsift_cuda_status kvsift_cuda_read_faults(kvsift_cuda_context* context, kvsift_cuda_stream stream, int32_t* out) {
  if (context == nullptr || out == nullptr) return KVSIFT_CUDA_INVALID_ARGUMENT;
  enqueue(static_cast<Stream>(stream), [out, word = context->own_faults] { *out = std::exchange(*word, 0); });
  return KVSIFT_CUDA_OK;
}

}  // namespace kvsift::emulated

#else

kvsift_cuda_status kvsift_cuda_open(int device, kvsift_cuda_context** out) {
  if (out == nullptr) return KVSIFT_CUDA_INVALID_ARGUMENT;
  cudaDeviceProp properties{};
  if (cudaSetDevice(device) != cudaSuccess || cudaGetDeviceProperties(&properties, device) != cudaSuccess) return KVSIFT_CUDA_DEVICE_ERROR;
  if (properties.major < 8) return KVSIFT_CUDA_UNSUPPORTED;
  int target = 0;
  if (const kvsift_cuda_status status = compiled_for(target); status != KVSIFT_CUDA_OK) return status;
  auto context = std::unique_ptr<kvsift_cuda_context, void (*)(kvsift_cuda_context*)>(new (std::nothrow) kvsift_cuda_context, kvsift_cuda_close);
  if (!context) return KVSIFT_CUDA_OUT_OF_MEMORY;
  context->device = device;
  context->multiprocessors = properties.multiProcessorCount;
  context->shared_bytes = properties.sharedMemPerBlockOptin;
  // Only there `await_previous` waits.
  context->early = properties.major >= 9 && target >= 90;
#ifdef KVSIFT_WARPGROUPS
  context->warpgroups = context->has_warpgroups = properties.major == 9 && properties.minor == 0;
#endif
  context->description = std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                         ", " + std::to_string(properties.multiProcessorCount) + " multiprocessors";
  cudaMemPoolProps pool{};
  pool.allocType = cudaMemAllocationTypePinned;
  pool.location.type = cudaMemLocationTypeDevice;
  pool.location.id = device;
  cudaMemPool_t made = nullptr;
  if (cudaMemPoolCreate(&made, &pool) != cudaSuccess) return KVSIFT_CUDA_DEVICE_ERROR;
  context->pool = made;
  // Scratch of one op is scratch of the next: what is freed stays in the pool.
  std::uint64_t keep = ~std::uint64_t{0};
  if (cudaMemPoolSetAttribute(made, cudaMemPoolAttrReleaseThreshold, &keep) != cudaSuccess) return KVSIFT_CUDA_DEVICE_ERROR;
  void* faults = nullptr;
  if (cudaMalloc(&faults, sizeof(std::int32_t)) != cudaSuccess) return KVSIFT_CUDA_OUT_OF_MEMORY;
  context->faults = context->own_faults = static_cast<std::int32_t*>(faults);
  if (cudaMemset(faults, 0, sizeof(std::int32_t)) != cudaSuccess) return KVSIFT_CUDA_DEVICE_ERROR;
  *out = context.release();
  return KVSIFT_CUDA_OK;
}

void kvsift_cuda_close(kvsift_cuda_context* context) {
  if (context == nullptr) return;
  delete context->blas;
  for (const auto& block : context->blocks.clear()) cudaFree(block.data);
  cudaFree(context->own_faults);
  if (context->pool != nullptr) cudaMemPoolDestroy(static_cast<cudaMemPool_t>(context->pool));
  delete context;
}

kvsift_cuda_status kvsift_cuda_read_faults(kvsift_cuda_context* context, kvsift_cuda_stream stream, int32_t* out) {
  return guarded(context, "read_faults", stream, [&](const Launch& launch) {
    launch.pointer(out, "out", 4);
    launch.check(cudaMemcpyAsync(out, context->own_faults, sizeof *out, cudaMemcpyDeviceToHost, launch.stream));
    fill_bytes(launch, context->own_faults, 0, sizeof *out);
  });
}

#endif

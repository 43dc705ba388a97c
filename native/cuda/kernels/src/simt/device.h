#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Thin names for what differs between CUDA and its stand-in (emulated.h).
namespace kvsift::cuda {

using Grid = dim3;
using Stream = cudaStream_t;

struct alignas(16) Vector16 {
  std::uint32_t x, y, z, w;
};

#ifdef __CUDACC__

inline constexpr unsigned full_warp = 0xffffffffu;

__device__ __forceinline__ void sync_block() { __syncthreads(); }
__device__ __forceinline__ void sync_warp() { __syncwarp(); }
template <class T>
__device__ __forceinline__ T shuffle(T value, unsigned lane) { return __shfl_sync(full_warp, value, static_cast<int>(lane)); }
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, unsigned mask) { return __shfl_xor_sync(full_warp, value, static_cast<int>(mask)); }
template <class T>
__device__ __forceinline__ T shuffle_up(T value, unsigned by) { return __shfl_up_sync(full_warp, value, by); }
__device__ __forceinline__ bool all_lanes(bool value) { return __all_sync(full_warp, value) != 0; }

template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char kvsift_dynamic_shared[];
  return reinterpret_cast<T*>(kvsift_dynamic_shared);
}
__device__ __forceinline__ void atomic_add(unsigned long long* to, unsigned long long value) { atomicAdd(to, value); }
__device__ __forceinline__ void atomic_add(std::uint32_t* to, std::uint32_t value) { atomicAdd(to, value); }
__device__ __forceinline__ void atomic_or(std::int32_t* to, std::int32_t value) { atomicOr(to, value); }

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float tanh_fast(float x) { return tanhf(x); }

__device__ __forceinline__ Vector16 load16(const void* from) {
  const uint4 v = *static_cast<const uint4*>(from);
  return {v.x, v.y, v.z, v.w};
}
/** The same for memory that is read once: it takes no room in the first cache. `constant`: nobody writes it while the kernel lives. */
template <bool constant>
__device__ __forceinline__ Vector16 load16_once(const void* from) {
  Vector16 v;
  if constexpr (constant) {
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  } else {
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  }
  return v;
}
/** Two floats; `to` lies on a multiple of 8 bytes. */
__device__ __forceinline__ void store8(float* to, float first, float second) { *reinterpret_cast<float2*>(to) = make_float2(first, second); }
__device__ __forceinline__ void store16(void* to, Vector16 v) { *static_cast<uint4*>(to) = make_uint4(v.x, v.y, v.z, v.w); }

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/** 16 bytes from global to shared memory; zeros where not `valid` (`from` must then still be a readable address or is not touched: 0 bytes). */
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
__device__ __forceinline__ void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

template <bool transposed>
__device__ __forceinline__ void load_matrices(std::uint32_t (&out)[4], const void* row) {
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)) : "memory");
  }
}

/** c += a · b (mma.m16n8k16), f32 accumulation. */
template <class Element>
__device__ __forceinline__ void multiply_accumulate(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t b0, const std::uint32_t b1) {
  if constexpr (Element::is_bf16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

/**
 * First statement of a kernel that is started early (`start_early`), but for reads of what no kernel writes: the next kernel may be put on the device
 * now, and what the ones before wrote is there from here on. So the start of a kernel costs no time of the device. What they wrote is no constant of this
 * kernel's life: parameters that it reads are not `const … __restrict__`, which nvcc takes for that (ld.global.nc, whose cache need not see what was written).
 */
__device__ __forceinline__ void await_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/** 48 KB are there without asking, less what the kernel has of its own. @returns a cudaError_t */
template <class... Parameters>
int ask_for_shared(void (*kernel)(Parameters...), std::size_t shared_bytes) {
  if (shared_bytes <= 32 * 1024) return cudaSuccess;
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
}

/** Blocks of a kernel that a multiprocessor holds at once; 1 where the device does not say. */
template <class... Parameters>
int resident_blocks(void (*kernel)(Parameters...), unsigned threads, std::size_t shared_bytes) {
  int blocks = 0;
  if (ask_for_shared(kernel, shared_bytes) != cudaSuccess) return 1;
  const cudaError_t asked =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, reinterpret_cast<const void*>(kernel), static_cast<int>(threads), shared_bytes);
  return asked == cudaSuccess && blocks > 0 ? blocks : 1;
}

/**
 * Starts a kernel; a cudaError_t, 0 where it went well.
 * @param early before the kernel in front of it has ended: it calls `await_previous`, and was compiled for a target that has it
 */
template <class... Parameters, class... Arguments>
int start_kernel_when(bool early, void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream,
                      const Arguments&... arguments) {
  const int asked = ask_for_shared(kernel, shared_bytes);
  if (asked != cudaSuccess) return asked;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = early ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

template <class... Parameters, class... Arguments>
int start_kernel(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream, const Arguments&... arguments) {
  return start_kernel_when(false, kernel, grid, threads, shared_bytes, stream, arguments...);
}

/** The same for a kernel that only runs where a block may have 227 KB of shared memory. */
template <class... Parameters, class... Arguments>
int start_wide_kernel(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream, const Arguments&... arguments) {
  return start_kernel_when(false, kernel, grid, threads, shared_bytes, stream, arguments...);
}

#endif

}  // namespace kvsift::cuda

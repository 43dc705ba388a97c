#pragma once

#include "simt/device.h"

// Products of a warpgroup on Hopper (wgmma, PTX ISA 8.0): 64 rows, tiles in shared memory as panels of 64 columns with the 128-byte swizzle
// (`panel_at` of kernels/panels.cuh). They run on while the warps go on, until `await_products`.
namespace kvsift::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/** Before the first product: registers written so far are there. */
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int pending>
__device__ __forceinline__ void await_products() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory"); }
/** What this thread has written to shared memory can be read by products, after a barrier. */
__device__ __forceinline__ void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/** Keeps the compiler from using results of products before the wait above. */
template <int count>
__device__ __forceinline__ void results_are_there(float (&x)[count][4]) {
#pragma unroll
  for (int j = 0; j < count; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("" : "+f"(x[j][i])::"memory");
  }
}

/** A matrix descriptor: groups of 8 rows are 1024 bytes apart, panels `panel_bytes`. */
__device__ __forceinline__ std::uint64_t panel_descriptor(const void* at, std::uint32_t panel_bytes) {
  constexpr std::uint64_t swizzle_128 = std::uint64_t{1} << 62;
  return swizzle_128 | std::uint64_t{1024 >> 4} << 32 | static_cast<std::uint64_t>(panel_bytes >> 4) << 16 | (shared_address(at) & 0x3ffff) >> 4;
}

#define KVSIFT_FOUR(x, j) "+f"(x[j][0]), "+f"(x[j][1]), "+f"(x[j][2]), "+f"(x[j][3])
#define KVSIFT_EIGHT_FOURS(x) \
  KVSIFT_FOUR(x, 0), KVSIFT_FOUR(x, 1), KVSIFT_FOUR(x, 2), KVSIFT_FOUR(x, 3), KVSIFT_FOUR(x, 4), KVSIFT_FOUR(x, 5), KVSIFT_FOUR(x, 6), KVSIFT_FOUR(x, 7)
#define KVSIFT_SIXTEEN_FOURS(x) \
  KVSIFT_EIGHT_FOURS(x), KVSIFT_FOUR(x, 8), KVSIFT_FOUR(x, 9), KVSIFT_FOUR(x, 10), KVSIFT_FOUR(x, 11), KVSIFT_FOUR(x, 12), KVSIFT_FOUR(x, 13), \
      KVSIFT_FOUR(x, 14), KVSIFT_FOUR(x, 15)
#define KVSIFT_32_RESULTS \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define KVSIFT_64_RESULTS \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// Both operands in shared memory, rows of both along the depth.
#define KVSIFT_WGMMA_SHARED(type)                                                                                                           \
  asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" KVSIFT_64_RESULTS \
               "}, %64, %65, adds, 1, 1, 0, 0;\n}"                                                                                           \
               : KVSIFT_SIXTEEN_FOURS(out)                                                                                                  \
               : "l"(a), "l"(b), "r"(adds))
// The left operand in registers, the rows of the right one across the depth.
#define KVSIFT_WGMMA_128(type)                                                                                               \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" KVSIFT_64_RESULTS                           \
               "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"                                                                   \
               : KVSIFT_SIXTEEN_FOURS(out)                                                                                   \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define KVSIFT_WGMMA_64(type)                                                                                                \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " {" KVSIFT_32_RESULTS                            \
               "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"                                                                   \
               : KVSIFT_EIGHT_FOURS(out)                                                                                     \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))

/** out = rows · keysᵀ over `head_dim` columns: 64 rows of a tile of `tile` rows, 128 keys. */
template <class Element, int head_dim, int tile>
__device__ __forceinline__ void multiply_keys(float (&out)[16][4], const Element* rows, const Element* keys) {
#pragma unroll
  for (int step = 0; step < head_dim / 16; step++) {
    const std::uint64_t a = panel_descriptor(rows + step / 4 * tile * 64 + step % 4 * 16, 16);
    const std::uint64_t b = panel_descriptor(keys + step / 4 * 128 * 64 + step % 4 * 16, 16);
    const int adds = step > 0;
    if constexpr (Element::is_bf16) {
      KVSIFT_WGMMA_SHARED("bf16");
    } else {
      KVSIFT_WGMMA_SHARED("f16");
    }
  }
}

/** out += weights · values: the weights of 128 keys in the registers of the results of `multiply_keys`, two in one. */
template <class Element, int head_dim>
__device__ __forceinline__ void multiply_values(float (&out)[head_dim / 8][4], const std::uint32_t (&weights)[8][4], const Element* values) {
#pragma unroll
  for (int step = 0; step < 8; step++) {
    const std::uint32_t(&a)[4] = weights[step];
    const std::uint64_t b = panel_descriptor(values + step * 16 * 64, 128 * 64 * 2);
    if constexpr (head_dim == 128) {
      if constexpr (Element::is_bf16) {
        KVSIFT_WGMMA_128("bf16");
      } else {
        KVSIFT_WGMMA_128("f16");
      }
    } else {
      if constexpr (Element::is_bf16) {
        KVSIFT_WGMMA_64("bf16");
      } else {
        KVSIFT_WGMMA_64("f16");
      }
    }
  }
}

#undef KVSIFT_WGMMA_64
#undef KVSIFT_WGMMA_128
#undef KVSIFT_WGMMA_SHARED
#undef KVSIFT_64_RESULTS
#undef KVSIFT_32_RESULTS
#undef KVSIFT_SIXTEEN_FOURS
#undef KVSIFT_EIGHT_FOURS
#undef KVSIFT_FOUR

#endif

}  // namespace kvsift::cuda

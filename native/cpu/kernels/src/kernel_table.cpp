#include "kernel_table.h"

namespace kvsift {

#define KVSIFT_DECLARE(set)         \
  namespace set {                   \
  RowKernels row_kernels();         \
  ElementKernels element_kernels(); \
  ReduceKernels reduce_kernels();   \
  ProductKernels product_kernels(); \
  AttentionKernels attention_kernels(); \
  LimitKernels limit_kernels(); \
  static KernelTable table() { return {row_kernels(), element_kernels(), reduce_kernels(), product_kernels(), attention_kernels(), limit_kernels()}; } \
  }

KVSIFT_DECLARE(portable)
#if defined(__x86_64__)
KVSIFT_DECLARE(avx2)
KVSIFT_DECLARE(avx2_vnni)
KVSIFT_DECLARE(avx512)
KVSIFT_DECLARE(avx512_vnni)
KVSIFT_DECLARE(avx512_bf16)
KVSIFT_DECLARE(avx512_amx)
#elif defined(__aarch64__)
KVSIFT_DECLARE(neon)
KVSIFT_DECLARE(neon_dotprod)
KVSIFT_DECLARE(neon_i8mm)
#endif

// A further architecture adds its sets to `Isa`, here and in CMakeLists.txt, and its vectors to simd.h.
const KernelTable& kernel_table(Isa isa) {
// Made when first asked for: a set's functions may only run where it is supported.
#define KVSIFT_CASE(set)                           \
  case Isa::set: {                                 \
    static const KernelTable table = set::table(); \
    return table;                                  \
  }
  switch (isa) {
#if defined(__x86_64__)
    KVSIFT_CASE(avx2)
    KVSIFT_CASE(avx2_vnni)
    KVSIFT_CASE(avx512)
    KVSIFT_CASE(avx512_vnni)
    KVSIFT_CASE(avx512_bf16)
    KVSIFT_CASE(avx512_amx)
#elif defined(__aarch64__)
    KVSIFT_CASE(neon)
    KVSIFT_CASE(neon_dotprod)
    KVSIFT_CASE(neon_i8mm)
#endif
    default: break;
  }
  static const KernelTable table = portable::table();
  return table;
}

}  // namespace kvsift

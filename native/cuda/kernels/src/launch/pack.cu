#include "launch/pack.h"

#include "kernels/pack.cuh"

namespace kvsift::KVSIFT_TARGET {

void pack_elements(const Launch& launch, kvsift_cuda_dtype type, const float* from, void* to, std::size_t count) {
  if (count == 0) return;
  const auto start = [&]<class Element>(Element* own) {
    if (count % 8 == 0 && reinterpret_cast<std::uintptr_t>(from) % 16 == 0) {
      const Grid grid{blocks_for(launch, count / 8, 256), 1, 1};
      launch.check(start_kernel(pack_pieces<Element>, grid, 256, 0, launch.stream, from, own, count / 8));
    } else {
      launch.check(start_kernel(pack_rows<Element>, Grid{blocks_for(launch, count / 2, 256), 1, 1}, 256, 0, launch.stream, from, own, count / 2));
    }
  };
  type == KVSIFT_CUDA_F16 ? start(static_cast<F16*>(to)) : start(static_cast<BF16*>(to));
}

}  // namespace kvsift::KVSIFT_TARGET

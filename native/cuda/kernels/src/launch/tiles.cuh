#pragma once

#include "kernels/columns.cuh"
#include "kernels/prefill.cuh"
#include "launch/tiles.h"

// Starts the tile kernels of one head dim; one translation unit instantiates it for each.
namespace kvsift::KVSIFT_TARGET {

template <class Element, int head_dim>
void start_tiles(const Launch& launch, Grid grid, const PrefillArguments* prefill, const ColumnWork* columns) {
  constexpr std::size_t bytes = 3 * tile_bytes<head_dim>;
  constexpr std::size_t beside = 2048;  // the kernels' static shared memory
  launch.require(bytes + beside <= launch.context.shared_bytes, KVSIFT_CUDA_UNSUPPORTED, "the device has too little shared memory for this head dim");
  if (prefill != nullptr) launch.check(start_kernel(prefill_work<Element, head_dim>, grid, tile_threads, bytes, launch.stream, *prefill));
  if (columns != nullptr) launch.check(start_kernel(column_work<Element, head_dim>, grid, tile_threads, bytes, launch.stream, *columns));
}

}  // namespace kvsift::KVSIFT_TARGET

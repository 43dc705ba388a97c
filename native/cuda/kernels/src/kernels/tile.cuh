#pragma once

#include "kernels/warp.cuh"
#include "math/attention.h"

// Tiles of 64 rows in shared memory and their products on tensor cores (mma.m16n8k16). A warp owns 16 query rows.
namespace kvsift::KVSIFT_TARGET {

constexpr int tile_rows = 64;
constexpr int tile_threads = 128;

/**
 * ldmatrix reads 16 bytes of 8 neighbouring rows at once, which must lie in different banks: where a row is a multiple of 128 bytes its 16-byte pieces
 * are exchanged by the row's number (three tiles of head dim 256 then fit the 99 KB of sm_89), else rows are an odd number of pieces apart.
 */
template <int head_dim>
constexpr bool tile_exchanged = head_dim % 64 == 0;
template <int head_dim>
constexpr int tile_stride = tile_exchanged<head_dim> ? head_dim : head_dim + 8;

/** Where a piece of a row lies in a tile: the one at `column`, a multiple of 16 that is known when compiling, or with `next` = 1 the one behind it. */
template <int head_dim>
KVSIFT_BOTH int tile_at(int row, int column, int next) {
  if constexpr (tile_exchanged<head_dim>) return row * head_dim + column / 64 * 64 + ((column / 8 % 8) ^ (next ^ (row & 7))) * 8;
  return row * tile_stride<head_dim> + column + next * 8;
}

template <int head_dim>
constexpr std::size_t tile_bytes = std::size_t{tile_rows} * tile_stride<head_dim> * 2;

/** Starts the copy of the slots `first` ... of a head; slots from `end` on become zeros. */
template <class Element, int head_dim>
__device__ __forceinline__ void load_cache_tile(Element* tile, const void* source, const KvView& view, unsigned head, int first, int end) {
  constexpr int pieces = head_dim / 8;
  for (int index = static_cast<int>(threadIdx.x); index < tile_rows * pieces; index += tile_threads) {
    const int row = index / pieces;
    const int piece = index % pieces;
    const bool valid = first + row < end;
    const std::int64_t from = valid ? row_of(view, head, static_cast<unsigned>(first + row)) : 0;
    copy_async(tile + tile_at<head_dim>(row, piece / 2 * 16, piece % 2), static_cast<const Element*>(source) + from * head_dim + piece * 8, valid);
  }
}

/** Starts the copy of `count` rows of a matrix; the rest become zeros. */
template <class Element, int head_dim>
__device__ __forceinline__ void load_row_tile(Element* tile, const Element* source, std::size_t step, int count) {
  constexpr int pieces = head_dim / 8;
  for (int index = static_cast<int>(threadIdx.x); index < tile_rows * pieces; index += tile_threads) {
    const int row = index / pieces;
    const int piece = index % pieces;
    const bool valid = row < count;
    copy_async(tile + tile_at<head_dim>(row, piece / 2 * 16, piece % 2), source + (valid ? static_cast<std::size_t>(row) * step : 0) + piece * 8, valid);
  }
}

/** The 16 × 16 operand of this warp's rows at column `column`. */
template <class Element, int head_dim>
__device__ __forceinline__ void load_rows(std::uint32_t (&a)[4], const Element* tile, int first_row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  load_matrices<false>(a, tile + tile_at<head_dim>(first_row + lane % 16, column, lane / 16));
}

/** scores[j] += queries · keysᵀ for the 8 keys from 8 · j on. */
template <class Element, int head_dim>
__device__ __forceinline__ void query_key_step(float (&scores)[8][4], const std::uint32_t (&a)[4], const Element* keys, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    std::uint32_t b[4];
    load_matrices<false>(b, keys + tile_at<head_dim>(pair * 16 + lane / 16 * 8 + lane % 8, column, lane / 8 % 2));
    multiply_accumulate<Element>(scores[2 * pair], a, b[0], b[1]);
    multiply_accumulate<Element>(scores[2 * pair + 1], a, b[2], b[3]);
  }
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

// Matrix products of bf16 in the tile registers of AMX, each 16 rows of 64 bytes. Part of products.cpp, compiled with it where the instruction set has them.

#if defined(__AMX_TILE__)

#include "finish_row.h"

namespace kvsift::KVSIFT_NS {

/** Shapes of the eight tiles, as the machine takes them. */
struct TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  constexpr void set(int tile, std::size_t row_count, std::size_t bytes) {
    rows[tile] = static_cast<std::uint8_t>(row_count);
    row_bytes[tile] = static_cast<std::uint16_t>(bytes);
  }
};
static_assert(sizeof(TileShapes) == 64);

/** What is in memory must be there before a tile is loaded from it: the compiler's own tile loads do not say that they read. */
KVSIFT_INLINE void settle() { asm volatile("" ::: "memory"); }

/** Sums in tiles 0 to 3, `rows` rows of activations in 4 and 5, weights in 6 and 7. */
constexpr TileShapes pair_shapes(std::size_t rows) {
  TileShapes shapes;
  for (int tile = 0; tile < 6; tile++) shapes.set(tile, rows, 64);
  shapes.set(6, 16, 64);
  shapes.set(7, 16, 64);
  return shapes;
}

KVSIFT_INLINE void set_shapes(const TileShapes& shapes) {
  settle();
  _tile_loadconfig(&shapes);
}

static inline void begin_pairs() {
  static constexpr TileShapes whole = pair_shapes(16);
  set_shapes(whole);
}

static inline void end_pairs() { _tile_release(); }

/** One block of sums of pair_tile and where it comes from and goes. */
struct PairBlock {
  const std::byte* weights;  // first panel
  std::size_t weight_stride;
  const std::byte* x;        // first row
  std::size_t x_bytes;       // from row to row
  std::size_t steps;         // of 16 pairs
};

/** Adds Σ of `RowTiles` x `Panels` tiles to tiles 0 to 3: tile 2 · rows + panel. Meanwhile the lines come near that the sums will be stored to. */
template <int RowTiles, int Panels>
KVSIFT_INLINE void pair_products(const PairBlock& block, const float* to, std::size_t to_stride) {
  const std::byte* weights = block.weights;
  const std::byte* x = block.x;
  for (std::size_t step = 0; step < block.steps; step++, weights += 1024, x += 64) {
    if (step < RowTiles * 8) {
      KVSIFT_UNROLL for (std::size_t row = 0; row < 2; row++) {
        const float* line = to + (2 * step + row) * to_stride;
        __builtin_prefetch(line, 0, 2);
        if constexpr (Panels == 2) __builtin_prefetch(line + 16, 0, 2);
      }
    }
    _tile_loadd(6, weights, 64);
    if constexpr (Panels == 2) _tile_loadd(7, weights + block.weight_stride, 64);
    _tile_loadd(4, x, block.x_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (Panels == 2) _tile_dpbf16ps(1, 4, 7);
    if constexpr (RowTiles == 2) {
      _tile_loadd(5, x + 16 * block.x_bytes, block.x_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (Panels == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
}

/** Sums begin with what is at `from`, rows `stride` bytes apart, or with zeros. (GCC's tile operations want literal numbers.) */
template <int RowTiles, int Panels>
KVSIFT_INLINE void begin_sums(const float* from, std::size_t stride) {
  if (from == nullptr) {
    _tile_zero(0);
    if constexpr (Panels == 2) _tile_zero(1);
    if constexpr (RowTiles == 2) _tile_zero(2);
    if constexpr (RowTiles == 2 && Panels == 2) _tile_zero(3);
    return;
  }
  const float* below = from + 4 * stride;
  _tile_loadd(0, from, stride);
  if constexpr (Panels == 2) _tile_loadd(1, from + 16, stride);
  if constexpr (RowTiles == 2) _tile_loadd(2, below, stride);
  if constexpr (RowTiles == 2 && Panels == 2) _tile_loadd(3, below + 16, stride);
}

template <int RowTiles, int Panels>
KVSIFT_INLINE void store_sums(float* to, std::size_t stride) {
  float* below = to + 4 * stride;
  _tile_stored(0, to, stride);
  if constexpr (Panels == 2) _tile_stored(1, to + 16, stride);
  if constexpr (RowTiles == 2) _tile_stored(2, below, stride);
  if constexpr (RowTiles == 2 && Panels == 2) _tile_stored(3, below + 16, stride);
}

/** `rows` rows: 16 per row tile, or fewer in one whose shapes are set so. Whole columns without a bias go from memory to tile and back, others by way of vectors. */
template <int RowTiles, int Panels>
KVSIFT_INLINE void pair_sums(const PairBlock& block, std::size_t row, std::size_t rows, const ProductTarget& target) {
  const std::size_t stride = target.stride * sizeof(float);
  const bool direct = target.bias == nullptr && target.columns >= Panels * 16;
  settle();
  begin_sums<RowTiles, Panels>(direct && target.residual != nullptr ? target.residual + row * target.stride : nullptr, stride);
  pair_products<RowTiles, Panels>(block, target.out + row * target.stride, target.stride);
  if (direct) return store_sums<RowTiles, Panels>(target.out + row * target.stride, stride);
  alignas(64) float buffer[RowTiles * 16][Panels * 16];
  store_sums<RowTiles, Panels>(buffer[0], sizeof buffer[0]);
  for (std::size_t m = 0; m < rows; m++) {
    F sums[Panels][1];
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) sums[p][0] = load(buffer[m] + p * 16);
    finish_row<Panels>(target, row + m, sums);
  }
}

/** A row block with all panels: it stays in the first-level cache, and the sums go to memory side by side. */
template <int RowTiles>
KVSIFT_INLINE void pair_row_block(PairBlock block, std::size_t panels, std::size_t row, std::size_t rows, const ProductTarget& target) {
  block.x += row * block.x_bytes;
  const std::byte* weights = block.weights;
  for (std::size_t panel = 0; panel < panels; panel += 2) {
    block.weights = weights + panel * block.weight_stride;
    const ProductTarget part = from_panel(target, panel);
    if (panel + 1 < panels) pair_sums<RowTiles, 2>(block, row, rows, part);
    else pair_sums<RowTiles, 1>(block, row, rows, part);
  }
}

/** The first pairs of each row, whole tiles of them; returns how many. */
KVSIFT_INLINE std::size_t tile_pairs(const std::byte* panels_data, std::size_t panel_stride, std::size_t panels, std::size_t pairs, const std::uint16_t* x,
                                     std::size_t x_stride, std::size_t rows, const ProductTarget& target) {
  const PairBlock block{panels_data, panel_stride, reinterpret_cast<const std::byte*>(x), 2 * x_stride, pairs / 16};
  if (block.steps == 0) return 0;
  std::size_t row = 0;
  for (; row + 32 <= rows; row += 32) pair_row_block<2>(block, panels, row, 32, target);
  for (; row + 16 <= rows; row += 16) pair_row_block<1>(block, panels, row, 16, target);
  if (row < rows) {
    set_shapes(pair_shapes(rows - row));
    pair_row_block<1>(block, panels, row, rows - row, target);
    begin_pairs();
  }
  return block.steps * 16;
}

}  // namespace kvsift::KVSIFT_NS

#endif

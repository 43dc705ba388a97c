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

/** Sums in tiles 0 to 3, `rows` rows of activations in 4, weights in the others; of two row tiles, which are whole, the second's activations are in 5. */
constexpr TileShapes pair_shapes(std::size_t rows) {
  TileShapes shapes;
  for (int tile = 0; tile < 8; tile++) shapes.set(tile, tile < 5 ? rows : 16, 64);
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

/** Weights of a step, which a block with more than the nearest cache holds reads past it: so the activations stay there. (GCC's tile operations want literal numbers.) */
template <bool Past, int Tile>
KVSIFT_INLINE void load_weights(const std::byte* from) {
  if constexpr (Past && Tile == 5) _tile_stream_loadd(5, from, 64);
  else if constexpr (Past && Tile == 6) _tile_stream_loadd(6, from, 64);
  else if constexpr (Past) _tile_stream_loadd(7, from, 64);
  else if constexpr (Tile == 5) _tile_loadd(5, from, 64);
  else if constexpr (Tile == 6) _tile_loadd(6, from, 64);
  else _tile_loadd(7, from, 64);
}

/** Two row tiles: sums in tile 2 · rows + panel. Meanwhile the lines come near that they will be stored to. */
template <bool Past, int Panels>
KVSIFT_INLINE void pair_products_2(const PairBlock& block, const float* to, std::size_t to_stride) {
  const std::byte* weights = block.weights;
  const std::byte* x = block.x;
  for (std::size_t step = 0; step < block.steps; step++, weights += 1024, x += 64) {
    if (step < 16) {
      KVSIFT_UNROLL for (std::size_t row = 0; row < 2; row++) {
        const float* line = to + (2 * step + row) * to_stride;
        __builtin_prefetch(line, 0, 2);
        if constexpr (Panels == 2) __builtin_prefetch(line + 16, 0, 2);
      }
    }
    load_weights<Past, 6>(weights);
    if constexpr (Panels == 2) load_weights<Past, 7>(weights + block.weight_stride);
    _tile_loadd(4, x, block.x_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (Panels == 2) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, x + 16 * block.x_bytes, block.x_bytes);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (Panels == 2) _tile_dpbf16ps(3, 5, 7);
  }
}

/** One row tile: sums in tile `panel`. */
template <bool Past, int Panels>
KVSIFT_INLINE void pair_products_1(const PairBlock& block) {
  const std::byte* weights = block.weights;
  const std::byte* x = block.x;
  for (std::size_t step = 0; step < block.steps; step++, weights += 1024, x += 64) {
    _tile_loadd(4, x, block.x_bytes);
    load_weights<Past, 5>(weights);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (Panels > 1) {
      load_weights<Past, 6>(weights + block.weight_stride);
      _tile_dpbf16ps(1, 4, 6);
    }
    if constexpr (Panels > 2) {
      load_weights<Past, 7>(weights + 2 * block.weight_stride);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (Panels > 3) {
      load_weights<Past, 5>(weights + 3 * block.weight_stride);
      _tile_dpbf16ps(3, 4, 5);
    }
  }
}

/** Floats from tile 0's sums to those of another tile. */
template <int RowTiles, int Tile>
constexpr std::size_t sums_at(std::size_t stride) {
  return RowTiles == 2 ? Tile % 2 * 16 + Tile / 2 * 16 * stride : std::size_t{Tile} * 16;
}

/** Whether a tile holds sums. */
template <int RowTiles, int Panels, int Tile>
constexpr bool has_sums = RowTiles == 2 ? Tile % 2 < Panels : Tile < Panels;

/** Sums begin with what is at `from`, rows `stride` floats apart, or with zeros. */
template <int RowTiles, int Panels>
KVSIFT_INLINE void begin_sums(const float* from, std::size_t stride) {
  const std::size_t bytes = stride * sizeof(float);
  if (from == nullptr) {
    _tile_zero(0);
    if constexpr (has_sums<RowTiles, Panels, 1>) _tile_zero(1);
    if constexpr (has_sums<RowTiles, Panels, 2>) _tile_zero(2);
    if constexpr (has_sums<RowTiles, Panels, 3>) _tile_zero(3);
    return;
  }
  _tile_loadd(0, from, bytes);
  if constexpr (has_sums<RowTiles, Panels, 1>) _tile_loadd(1, from + (sums_at<RowTiles, 1>(stride)), bytes);
  if constexpr (has_sums<RowTiles, Panels, 2>) _tile_loadd(2, from + (sums_at<RowTiles, 2>(stride)), bytes);
  if constexpr (has_sums<RowTiles, Panels, 3>) _tile_loadd(3, from + (sums_at<RowTiles, 3>(stride)), bytes);
}

template <int RowTiles, int Panels>
KVSIFT_INLINE void store_sums(float* to, std::size_t stride) {
  const std::size_t bytes = stride * sizeof(float);
  _tile_stored(0, to, bytes);
  if constexpr (has_sums<RowTiles, Panels, 1>) _tile_stored(1, to + (sums_at<RowTiles, 1>(stride)), bytes);
  if constexpr (has_sums<RowTiles, Panels, 2>) _tile_stored(2, to + (sums_at<RowTiles, 2>(stride)), bytes);
  if constexpr (has_sums<RowTiles, Panels, 3>) _tile_stored(3, to + (sums_at<RowTiles, 3>(stride)), bytes);
}

/** `rows` rows: 16 per row tile, or fewer in one whose shapes are set so. Whole columns without a bias go from memory to tile and back, others by way of vectors. */
template <bool Past, int RowTiles, int Panels>
KVSIFT_INLINE void pair_sums(const PairBlock& block, std::size_t row, std::size_t rows, const ProductTarget& target) {
  const bool direct = target.bias == nullptr && target.columns >= Panels * 16;
  settle();
  begin_sums<RowTiles, Panels>(direct && target.residual != nullptr ? target.residual + row * target.stride : nullptr, target.stride);
  if constexpr (RowTiles == 2) pair_products_2<Past, Panels>(block, target.out + row * target.stride, target.stride);
  else pair_products_1<Past, Panels>(block);
  if (direct) return store_sums<RowTiles, Panels>(target.out + row * target.stride, target.stride);
  alignas(64) float buffer[RowTiles * 16][Panels * 16];
  store_sums<RowTiles, Panels>(buffer[0], Panels * 16);
  for (std::size_t m = 0; m < rows; m++) {
    F sums[Panels][1];
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) sums[p][0] = load(buffer[m] + p * 16);
    finish_row<Panels>(target, row + m, sums);
  }
}

/** A row block with all panels: its sums go to memory side by side. */
template <bool Past, int RowTiles>
KVSIFT_INLINE void pair_panels_of(PairBlock block, std::size_t panels, std::size_t row, std::size_t rows, const ProductTarget& target) {
  constexpr int most = 4 / RowTiles;
  const std::byte* weights = block.weights;
  for (std::size_t panel = 0; panel < panels; panel += most) {
    block.weights = weights + panel * block.weight_stride;
    const ProductTarget some = from_panel(target, panel);
    const std::size_t left = panels - panel;
    if (left >= most) pair_sums<Past, RowTiles, most>(block, row, rows, some);
    else if (most == 4 && left == 3) pair_sums<Past, RowTiles, 3>(block, row, rows, some);
    else if (most == 4 && left == 2) pair_sums<Past, RowTiles, 2>(block, row, rows, some);
    else pair_sums<Past, RowTiles, 1>(block, row, rows, some);
  }
}

/** Steps whose activations of two row tiles stay in the first-level cache (48 KB), and those that do beside sums of `near_panels`. */
constexpr std::size_t near_steps = 20;
constexpr std::size_t part_steps = 16;
constexpr std::size_t near_panels = 8;

/** As `pair_panels_of`, some steps after the other. */
template <int RowTiles>
KVSIFT_INLINE void pair_parts_of(PairBlock block, std::size_t panels, std::size_t row, std::size_t rows, const ProductTarget& target) {
  alignas(64) float sums[RowTiles * 16 * near_panels * 16];
  const std::size_t steps = block.steps;
  const std::size_t parts = (steps + part_steps - 1) / part_steps;
  const PairBlock whole = block;
  for (std::size_t part = 0; part < parts; part++) {
    const std::size_t first = steps * part / parts;
    block.steps = steps * (part + 1) / parts - first;
    block.x = whole.x + first * 64;
    block.weights = whole.weights + first * 1024;
    pair_panels_of<true, RowTiles>(block, panels, 0, rows, {sums, panels * 16, panels * 16, nullptr, part > 0 ? sums : nullptr});
  }
  for (std::size_t m = 0; m < rows; m++) {
    for (std::size_t panel = 0; panel < panels; panel++) {
      const F some[1][1] = {{load(sums + (m * panels + panel) * 16)}};
      finish_row<1>(from_panel(target, panel), row + m, some);
    }
  }
}

/** How the steps of a block are gone through. */
enum class Reach : std::uint8_t {
  near,   // weights stay in the first-level cache
  past,   // activations do, weights are read past it
  parts,  // likewise, a part of the steps at a time
  far,    // too much even for the second-level cache
};

static inline Reach reach_of(const PairBlock& block, std::size_t panels, std::size_t rows) {
  constexpr std::size_t near_bytes = 32 << 10;
  constexpr std::size_t far_bytes = 1280 << 10;
  const std::size_t bytes = panels * block.steps * 1024;
  if (bytes <= near_bytes) return Reach::near;
  if (block.steps <= near_steps) return Reach::past;
  return panels <= near_panels && bytes + rows * block.x_bytes <= far_bytes ? Reach::parts : Reach::far;
}

template <int RowTiles>
static inline void pair_row_block(Reach reach, PairBlock block, std::size_t panels, std::size_t row, std::size_t rows, const ProductTarget& target) {
  block.x += row * block.x_bytes;
  if (reach == Reach::past) pair_panels_of<true, RowTiles>(block, panels, row, rows, target);
  else if (reach == Reach::parts) pair_parts_of<RowTiles>(block, panels, row, rows, target);
  else pair_panels_of<false, RowTiles>(block, panels, row, rows, target);
}

/** The first pairs of each row, whole tiles of them; returns how many. */
KVSIFT_INLINE std::size_t tile_pairs(const std::byte* panels_data, std::size_t panel_stride, std::size_t panels, std::size_t pairs, const std::uint16_t* x,
                                     std::size_t x_stride, std::size_t rows, const ProductTarget& target) {
  const PairBlock block{panels_data, panel_stride, reinterpret_cast<const std::byte*>(x), 2 * x_stride, pairs / 16};
  if (block.steps == 0) return 0;
  const Reach reach = reach_of(block, panels, rows);
  std::size_t row = 0;
  for (; row + 32 <= rows; row += 32) pair_row_block<2>(reach, block, panels, row, 32, target);
  for (; row + 16 <= rows; row += 16) pair_row_block<1>(reach, block, panels, row, 16, target);
  if (row < rows) {
    set_shapes(pair_shapes(rows - row));
    pair_row_block<1>(reach, block, panels, row, rows - row, target);
    begin_pairs();
  }
  return block.steps * 16;
}

}  // namespace kvsift::KVSIFT_NS

#endif

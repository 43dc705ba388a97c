#pragma once

// Sizes of products in the tile registers of AMX, which never become rows. Part of products.cpp, compiled with it where the instruction set has them.

#if defined(__AMX_TILE__)

#include "across.h"
#include "tiles.h"

namespace kvsift::KVSIFT_NS {

/** Rows 16 at a time in tiles 4 and up, one for each step. */
template <int Steps>
KVSIFT_INLINE void load_row_tiles(const std::byte* x, std::size_t x_bytes) {
  _tile_loadd(4, x, x_bytes);
  if constexpr (Steps > 1) _tile_loadd(5, x + 64, x_bytes);
  if constexpr (Steps > 2) _tile_loadd(6, x + 128, x_bytes);
  if constexpr (Steps > 3) _tile_loadd(7, x + 192, x_bytes);
}

/** Tiles 0 and 1 = those rows times two panels. */
template <int Steps>
KVSIFT_INLINE void two_panels(const std::byte* weights, std::size_t stride) {
  _tile_zero(0);
  _tile_zero(1);
  KVSIFT_UNROLL for (int step = 0; step < Steps; step++) {
    _tile_loadd(2, weights + step * 1024, 64);
    _tile_loadd(3, weights + stride + step * 1024, 64);
    if (step == 0) {
      _tile_dpbf16ps(0, 4, 2);
      _tile_dpbf16ps(1, 4, 3);
    } else if (step == 1) {
      _tile_dpbf16ps(0, 5, 2);
      _tile_dpbf16ps(1, 5, 3);
    } else if (step == 2) {
      _tile_dpbf16ps(0, 6, 2);
      _tile_dpbf16ps(1, 6, 3);
    } else {
      _tile_dpbf16ps(0, 7, 2);
      _tile_dpbf16ps(1, 7, 3);
    }
  }
}

/** While tiles multiply two panels, vectors sum up the sizes of the two before. */
template <int Steps, bool Squares>
KVSIFT_INLINE void add_sizes(const std::byte* weights, std::size_t weight_stride, std::size_t panels, const std::byte* x, std::size_t x_bytes, std::size_t rows,
                             float* sums) {
  alignas(64) float products[2][2][16][16];
  for (std::size_t row = 0; row < rows; row += 16) {
    settle();
    load_row_tiles<Steps>(x + row * x_bytes, x_bytes);
    F sizes[16];
    KVSIFT_UNROLL for (int i = 0; i < 16; i++) sizes[i] = splat(0.0F);
    for (std::size_t panel = 0; panel <= panels; panel += 2) {
      if (panel < panels) {
        two_panels<Steps>(weights + panel * weight_stride, weight_stride);
        _tile_stored(0, products[panel / 2 % 2][0][0], 64);
        _tile_stored(1, products[panel / 2 % 2][1][0], 64);
      }
      if (panel == 0) continue;
      settle();
      KVSIFT_UNROLL for (int half = 0; half < 2; half++) {
        KVSIFT_UNROLL for (int i = 0; i < 16; i++) {
          const F product = load(products[(panel / 2 + 1) % 2][half][i]);
          sizes[i] += Squares ? product * product : reinterpret_cast<F>(reinterpret_cast<I>(product) & 0x7fffffff);
        }
      }
    }
    _mm512_storeu_ps(sums + row, _mm512_loadu_ps(sums + row) + across_16(sizes));
  }
}

static inline void pair_sizes(const std::byte* panels_data, std::size_t panel_stride, std::size_t panels, std::size_t steps, const std::uint16_t* x,
                              std::size_t x_stride, std::size_t rows, bool squares, float* sums) {
  const auto* from = reinterpret_cast<const std::byte*>(x);
  const auto all = [&]<int Steps>() {
    if (squares) add_sizes<Steps, true>(panels_data, panel_stride, panels, from, 2 * x_stride, rows, sums);
    else add_sizes<Steps, false>(panels_data, panel_stride, panels, from, 2 * x_stride, rows, sums);
  };
  if (steps == 1) all.template operator()<1>();
  else if (steps == 2) all.template operator()<2>();
  else if (steps == 3) all.template operator()<3>();
  else all.template operator()<4>();
}

}  // namespace kvsift::KVSIFT_NS

#endif

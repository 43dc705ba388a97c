#include "byte_sums.h"
#include "finish_row.h"
#include "panel_codes.h"
#include "tile_sizes.h"
#include "tiles.h"

namespace kvsift::KVSIFT_NS {

namespace {

/** Panels in one register block of the many-row kernels. */
constexpr std::size_t block_panels = lanes == 16 ? 2 : 1;
/** Bytes of codes beside which the activations of a register block stay in the first-level cache. */
constexpr std::size_t near_bytes = std::size_t{24} << 10;
#if defined(KVSIFT_NEON)
#if defined(__ARM_FEATURE_DOTPROD)
constexpr int code_rows = 2;
#else
constexpr int code_rows = 1;
#endif
constexpr int panel_code_rows = code_rows;
constexpr int value_rows = 6;
#else
constexpr int code_rows = lanes == 16 ? 6 : lanes == 8 ? 4 : 1;
constexpr int value_rows = lanes == 16 ? 12 : lanes == 8 ? 6 : 2;
/** Rows of a block where there are few, straight from one panel. */
constexpr int panel_code_rows = lanes == 16 ? 8 : lanes == 8 ? 4 : 1;
#endif

/** Rows x (Panels · 16) sums over all of K, in registers. */
template <int Rows, int Panels, bool Minimum, int Group, class Codes>
KVSIFT_INLINE void code_block(const Codes (&source)[Panels], const QuantizedRows& x, std::size_t row, const ProductTarget& target) {
  using Sum = ByteSum<Codes::top>;
  constexpr int groups = 32 / Group;
  const std::size_t blocks = x.columns / 32;
  const std::int8_t* codes = x.codes + row * x.columns;
  const float* scales = x.scales + row * blocks;
  const std::int32_t* extras = x.extras + row * blocks * groups;
  F sums[Rows][Panels][parts];
  KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
      KVSIFT_UNROLL for (int v = 0; v < parts; v++) sums[m][p][v] = splat(0.0F);
    }
  }
  for (std::size_t block = 0; block < blocks; block++) {
    KVSIFT_UNROLL for (int g = 0; g < groups; g++) {
      const std::size_t group = block * groups + static_cast<std::size_t>(g);
      I dots[Rows][Panels][parts];
      I some[Rows][Panels][parts];
      KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
        const I start = Minimum ? splat(std::int32_t{0}) : splat(extras[static_cast<std::size_t>(m) * blocks * groups + group]);
        KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
          KVSIFT_UNROLL for (int v = 0; v < parts; v++) dots[m][p][v] = Sum::start(start);
        }
      }
      KVSIFT_UNROLL for (int step = 0; step < Group / 4; step++) {
        const int unit = groups == 1 ? Codes::unit(step) : g * (Group / 4) + step;
        typename Sum::Weight w[Panels][parts];
        KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
          KVSIFT_UNROLL for (int v = 0; v < parts; v++) w[p][v] = Sum::prepare(Codes::load_unit(source[p], block, unit, v));
        }
        KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
          const I value = splat(word_at(codes + static_cast<std::size_t>(m) * x.columns + block * 32 + static_cast<std::size_t>(unit) * 4));
          KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
            KVSIFT_UNROLL for (int v = 0; v < parts; v++) Sum::add(dots[m][p][v], some[m][p][v], w[p][v], value, step, Group / 4);
          }
        }
      }
      KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
        KVSIFT_UNROLL for (int v = 0; v < parts; v++) {
          const F scale = Codes::load_scale_of(source[p].scales, group, v);
          KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
            sums[m][p][v] += to_float(dots[m][p][v]) * (scale * splat(scales[static_cast<std::size_t>(m) * blocks + block]));
          }
          if constexpr (Minimum) {
            const F minimum = Codes::load_scale_of(source[p].minimums, group, v);
            KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
              float extra;
              __builtin_memcpy(&extra, extras + static_cast<std::size_t>(m) * blocks * groups + group, sizeof extra);
              sums[m][p][v] += minimum * splat(extra);
            }
          }
        }
      }
    }
  }
  KVSIFT_UNROLL for (int m = 0; m < Rows; m++) finish_row<Panels>(target, row + static_cast<std::size_t>(m), sums[m]);
}

/** All rows, in register blocks of `Rows` and fewer. */
template <int Rows, int Panels, bool Minimum, int Group, class Codes>
void code_rows_from(const Codes (&source)[Panels], const QuantizedRows& x, std::size_t row, std::size_t rows, const ProductTarget& target) {
  for (; row + Rows <= rows; row += Rows) {
    if constexpr (Panels <= block_panels) {
      code_block<Rows, Panels, Minimum, Group>(source, x, row, target);
    } else {
      for (std::size_t p = 0; p * 16 < least(Panels * 16, target.columns); p++) {
        const Codes one[1] = {source[p]};
        code_block<Rows, 1, Minimum, Group>(one, x, row, from_panel(target, p));
      }
    }
  }
  if constexpr (Rows > 1) {
    // Each further size costs compile time.
    constexpr int fewer = Rows == 8 ? 4 : Rows > 2 ? 2 : 1;
    if (row < rows) code_rows_from<fewer, Panels, Minimum, Group>(source, x, row, rows, target);
  }
}

template <bool Minimum, int Group, int Top>
void tile_with(const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  ByteCodes<Top, true> source[tile_panels];
  const std::size_t groups = x.columns / Group;
  // A panel too few is made up by the last one again; the target is too narrow to take it.
  for (std::size_t at = 0; at < tile_panels; at++) {
    const std::size_t p = least(at, panels - 1);
    source[at].codes = reinterpret_cast<const std::byte*>(tile.codes + p * tile.code_stride);
    source[at].scales = reinterpret_cast<const std::byte*>(tile.scales + p * groups * 16);
    source[at].minimums = Minimum ? reinterpret_cast<const std::byte*>(tile.minimums + p * groups * 16) : nullptr;
  }
  if constexpr (block_panels < tile_panels) {
    if (tile_panels * x.columns * 16 > near_bytes) {
      for (std::size_t p = 0; p < panels; p++) {
        const ByteCodes<Top, true> one[1] = {source[p]};
        code_rows_from<code_rows, 1, Minimum, Group>(one, x, 0, rows, from_panel(target, p));
      }
      return;
    }
  }
  code_rows_from<code_rows, tile_panels, Minimum, Group>(source, x, 0, rows, target);
}

/** Each largest code takes a kernel of its own where products differ by it. */
template <bool Minimum, int Group>
void tile_by_top(const CodeFormat& format, const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  if constexpr (!top_matters) return tile_with<Minimum, Group, whole_bytes>(tile, panels, x, rows, target);
  if (format.largest <= nibbles) tile_with<Minimum, Group, nibbles>(tile, panels, x, rows, target);
  else if (format.largest <= six_bits) tile_with<Minimum, Group, six_bits>(tile, panels, x, rows, target);
  else if constexpr (!Minimum && Group == 32) tile_with<Minimum, Group, whole_bytes>(tile, panels, x, rows, target);
}

void code_tile(const CodeFormat& format, const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  if (format.group == 16) {
    if (format.minimum) tile_by_top<true, 16>(format, tile, panels, x, rows, target);
    else tile_by_top<false, 16>(format, tile, panels, x, rows, target);
  } else {
    if (format.minimum) tile_by_top<true, 32>(format, tile, panels, x, rows, target);
    else tile_by_top<false, 32>(format, tile, panels, x, rows, target);
  }
}

template <bool Minimum, int Group, class Codes>
void panels_with(const PanelSection& section, std::size_t first, std::size_t last, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  for (std::size_t panel = first; panel < last; panel++) {
    const std::byte* data = section.panel(panel);
    // Codes are fetched as they are read; scales and minimums lie behind them.
    for (std::size_t at = section.scale_offset; at < section.panel_bytes; at += 64) __builtin_prefetch(data + at + fetch_ahead);
    const Codes source[1] = {{data, data + section.scale_offset, data + section.minimum_offset}};
    ProductTarget part = from_panel(target, panel);
    part.columns = least(16, section.rows - panel * 16);
    code_rows_from<panel_code_rows, 1, Minimum, Group>(source, x, 0, rows, part);
  }
}

void code_panels(const PanelSection& section, std::size_t first, std::size_t last, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  const CodeFormat& format = section.format;
  if (section.kind == PanelKind::codes4) {
    if (format.table) panels_with<false, 32, NibbleCodes<true, true, true>>(section, first, last, x, rows, target);
    else if (!format.minimum) panels_with<false, 32, NibbleCodes<false, false, true>>(section, first, last, x, rows, target);
    else if (format.wide_scale) panels_with<true, 32, NibbleCodes<false, true, true>>(section, first, last, x, rows, target);
    else panels_with<true, 32, NibbleCodes<false, false, true>>(section, first, last, x, rows, target);
  } else if (format.group == 16) {
    if (format.minimum) panels_with<true, 16, ByteCodes<six_bits, true, true>>(section, first, last, x, rows, target);
    else panels_with<false, 16, ByteCodes<six_bits, true, true>>(section, first, last, x, rows, target);
  } else {
    if (format.minimum) panels_with<true, 32, ByteCodes<six_bits, true, true>>(section, first, last, x, rows, target);
    else if (top_matters && format.largest <= six_bits) panels_with<false, 32, ByteCodes<six_bits, false, true>>(section, first, last, x, rows, target);
    else panels_with<false, 32, ByteCodes<whole_bytes, false, true>>(section, first, last, x, rows, target);
  }
}

void quantize(const float* x, std::size_t columns, std::int8_t* codes, float* scales, std::int32_t* sums) {
  for (std::size_t k = 0; k < columns; k += 32) {
    F values[32 / lanes];
    F largest = splat(0.0F);
    KVSIFT_UNROLL for (int v = 0; v < 32 / lanes; v++) {
      values[v] = load(x + k + static_cast<std::size_t>(v * lanes));
      largest = max_of(largest, max_of(values[v], -values[v]));
    }
    const float top = max_in(largest);
    const float inverse = top > 0 ? 127 / top : 0.0F;
    scales[k / 32] = top / 127;
    I totals[2] = {splat(std::int32_t{0}), splat(std::int32_t{0})};
    KVSIFT_UNROLL for (int v = 0; v < 32 / lanes; v++) {
      const I code = to_int(values[v] * inverse);
      totals[v * lanes / 16] += code;
      store_bytes(codes + k + static_cast<std::size_t>(v * lanes), code);
    }
    sums[k / 16] = sum_of(totals[0]);
    sums[k / 16 + 1] = sum_of(totals[1]);
  }
}

template <int Rows, int Panels>
KVSIFT_INLINE void value_block(const float* values, std::size_t value_stride, std::size_t depth, const float* x, std::size_t x_stride, std::size_t row, bool first,
                               const ProductTarget& target) {
  F sums[Rows][Panels][parts];
  KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
      KVSIFT_UNROLL for (int v = 0; v < parts; v++) sums[m][p][v] = splat(0.0F);
    }
  }
  const float* rows = x + row * x_stride;
  for (std::size_t k = 0; k < depth; k++) {
    F w[Panels][parts];
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
      KVSIFT_UNROLL for (int v = 0; v < parts; v++) w[p][v] = load(values + static_cast<std::size_t>(p) * value_stride + k * 16 + static_cast<std::size_t>(v * lanes));
    }
    KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
      const F value = splat(rows[static_cast<std::size_t>(m) * x_stride + k]);
      KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
        KVSIFT_UNROLL for (int v = 0; v < parts; v++) sums[m][p][v] += w[p][v] * value;
      }
    }
  }
  ProductTarget again = target;
  if (!first) {
    again.bias = nullptr;
    again.residual = target.out;
  }
  KVSIFT_UNROLL for (int m = 0; m < Rows; m++) finish_row<Panels>(again, row + static_cast<std::size_t>(m), sums[m]);
}

template <int Rows, int Panels>
void value_rows_from(const float* values, std::size_t value_stride, std::size_t depth, const float* x, std::size_t x_stride, std::size_t row, std::size_t rows,
                     bool first, const ProductTarget& target) {
  for (; row + Rows <= rows; row += Rows) value_block<Rows, Panels>(values, value_stride, depth, x, x_stride, row, first, target);
  if constexpr (Rows > 1) {
    constexpr int fewer = Rows > 4 ? 4 : Rows > 2 ? 2 : 1;
    if (row < rows) value_rows_from<fewer, Panels>(values, value_stride, depth, x, x_stride, row, rows, first, target);
  }
}

void value_tile(const float* values, std::size_t value_stride, std::size_t panels, std::size_t depth, const float* x, std::size_t x_stride, std::size_t rows,
                bool first, const ProductTarget& target) {
  if constexpr (block_panels == 2) {
    if (panels == 2) return value_rows_from<value_rows, 2>(values, value_stride, depth, x, x_stride, 0, rows, first, target);
  }
  value_rows_from<value_rows, 1>(values, value_stride, depth, x, x_stride, 0, rows, first, target);
}

#if defined(__AVX512BF16__)

template <int Rows, int Panels>
KVSIFT_INLINE void pair_block(const std::byte* panels_data, std::size_t panel_stride, std::size_t pairs, const std::uint16_t* x, std::size_t x_stride,
                              std::size_t row, const ProductTarget& target) {
  F sums[Rows][Panels][parts];
  KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) sums[m][p][0] = splat(0.0F);
  }
  const std::uint16_t* rows = x + row * x_stride;
  for (std::size_t k = 0; k < pairs; k++) {
    I w[Panels];
    KVSIFT_UNROLL for (int p = 0; p < Panels; p++) w[p] = load_bits(panels_data + static_cast<std::size_t>(p) * panel_stride + k * 64);
    KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
      const I value = splat(word_at(rows + static_cast<std::size_t>(m) * x_stride + 2 * k));
      KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
        sums[m][p][0] = _mm512_dpbf16_ps(sums[m][p][0], reinterpret_cast<__m512bh>(w[p]), reinterpret_cast<__m512bh>(value));
      }
    }
  }
  KVSIFT_UNROLL for (int m = 0; m < Rows; m++) finish_row<Panels>(target, row + static_cast<std::size_t>(m), sums[m]);
}

template <int Rows, int Panels>
void pair_rows_from(const std::byte* panels_data, std::size_t panel_stride, std::size_t pairs, const std::uint16_t* x, std::size_t x_stride, std::size_t row,
                    std::size_t rows, const ProductTarget& target) {
  for (; row + Rows <= rows; row += Rows) pair_block<Rows, Panels>(panels_data, panel_stride, pairs, x, x_stride, row, target);
  if constexpr (Rows > 1) {
    constexpr int fewer = Rows > 4 ? 4 : 1;
    if (row < rows) pair_rows_from<fewer, Panels>(panels_data, panel_stride, pairs, x, x_stride, row, rows, target);
  }
}

void pair_tile(const std::byte* panels_data, std::size_t panel_stride, std::size_t panels, std::size_t pairs, const std::uint16_t* x, std::size_t x_stride,
               std::size_t rows, const ProductTarget& whole) {
  ProductTarget target = whole;
#if defined(__AMX_BF16__)
  if (const std::size_t done = tile_pairs(panels_data, panel_stride, panels, pairs, x, x_stride, rows, target); done > 0) {
    if (done == pairs) return;
    panels_data += done * 64;
    x += 2 * done;
    pairs -= done;
    target.bias = nullptr;
    target.residual = target.out;
  }
#endif
  for (std::size_t panel = 0; panel < panels; panel += 2) {
    const std::byte* data = panels_data + panel * panel_stride;
    const ProductTarget part = from_panel(target, panel);
    if (panel + 1 < panels) pair_rows_from<12, 2>(data, panel_stride, pairs, x, x_stride, 0, rows, part);
    else pair_rows_from<12, 1>(data, panel_stride, pairs, x, x_stride, 0, rows, part);
  }
}

#endif

}  // namespace

ProductKernels product_kernels() {
  ProductKernels kernels{};
  kernels.block_panels = block_panels;
  kernels.quantize = quantize;
  kernels.unpack_codes = unpack_codes;
  kernels.unpack_values = unpack_values;
  kernels.code_tile = code_tile;
  kernels.code_panels = code_panels;
  kernels.value_tile = value_tile;
#if defined(__AVX512BF16__)
  kernels.bf16 = true;
  kernels.pair_pass = 24;
  kernels.pair_entries = 128;
  kernels.pair_tile = pair_tile;
#endif
#if defined(__AMX_BF16__)
  kernels.pair_pass = 16;
  kernels.pair_entries = 96;
  kernels.unpack_pairs = unpack_pairs;
  kernels.pair_sizes = pair_sizes;
  kernels.begin_pairs = begin_pairs;
  kernels.end_pairs = end_pairs;
#endif
  return kernels;
}

}  // namespace kvsift::KVSIFT_NS

#include "finish_row.h"
#include "tiles.h"

namespace kvsift::KVSIFT_NS {

namespace {

/** Panels side by side and rows in the register blocks of the many-row kernels. */
constexpr int tile_panels = lanes == 16 ? 2 : 1;
#if defined(KVSIFT_NEON)
#if defined(__ARM_FEATURE_DOTPROD)
constexpr int code_rows = 2;
#else
constexpr int code_rows = 1;
#endif
constexpr int panel_code_rows = code_rows;
constexpr int value_rows = 6;
#else
constexpr int code_rows = lanes == 16 ? 6 : lanes == 8 ? 3 : 1;
constexpr int value_rows = lanes == 16 ? 12 : lanes == 8 ? 6 : 2;
/** Rows of a block where there are few, straight from one panel. */
constexpr int panel_code_rows = lanes == 16 ? 8 : lanes == 8 ? 4 : 1;
#endif

template <bool Wide>
KVSIFT_INLINE F load_scale(const std::byte* scales, std::size_t index) {
  if constexpr (Wide) return load(reinterpret_cast<const float*>(scales) + index);
  else return load_f16(scales + 2 * index);
}

/** Few rows read weights once, faster than the hardware looks ahead: bytes from a load to what is fetched for later. */
constexpr std::size_t fetch_ahead = 8192;

/** Codes as bytes [K / 4][16][4]. `Stream`: they come from memory. */
template <bool WideCodes, bool WideScales, bool Stream = false>
struct ByteCodes {
  static constexpr bool wide_codes = WideCodes;
  const std::byte* codes;
  const std::byte* scales;
  const std::byte* minimums;

  static int unit(int step) { return step; }
  KVSIFT_INLINE I load_unit(const ByteCodes& at, std::size_t block, int unit, int part) {
    const std::byte* from = at.codes + (block * 8 + static_cast<std::size_t>(unit)) * 64 + static_cast<std::size_t>(part) * lanes * 4;
    if (Stream && part == 0) __builtin_prefetch(from + fetch_ahead);
    return load_bits(from);
  }
  KVSIFT_INLINE F load_scale_of(const std::byte* from, std::size_t group, int part) { return load_scale<WideScales>(from, group * 16 + static_cast<std::size_t>(part) * lanes); }
};

/** Codes as nibbles, possibly through the IQ4 table. */
template <bool Table, bool WideScales, bool Stream = false>
struct NibbleCodes {
  static constexpr bool wide_codes = Table;
  const std::byte* codes;
  const std::byte* scales;
  const std::byte* minimums;

  /** Low and high nibbles of the same vector one after the other. */
  static int unit(int step) { return (step >> 1) | (step & 1) << 2; }
  KVSIFT_INLINE I load_unit(const NibbleCodes& at, std::size_t block, int unit, int part) {
    const std::byte* from = at.codes + (block * 4 + static_cast<std::size_t>(unit & 3)) * 64 + static_cast<std::size_t>(part) * lanes * 4;
    if (Stream && part == 0 && unit < 4) __builtin_prefetch(from + fetch_ahead);
    const I both = load_bits(from);
    const I code = (unit < 4 ? both : both >> 4) & 0x0f0f0f0f;
    if constexpr (Table) return look_up(table_of(iq4_table), code);
    else return code;
  }
  KVSIFT_INLINE F load_scale_of(const std::byte* from, std::size_t group, int part) { return load_scale<WideScales>(from, group * 16 + static_cast<std::size_t>(part) * lanes); }
};

/** Rows x (Panels · 16) sums over all of K, in registers. */
template <int Rows, int Panels, bool Minimum, int Group, class Codes>
KVSIFT_INLINE void code_block(const Codes (&source)[Panels], const QuantizedRows& x, std::size_t row, const ProductTarget& target) {
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
      KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
        const I start = Minimum ? splat(std::int32_t{0}) : splat(extras[static_cast<std::size_t>(m) * blocks * groups + group]);
        KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
          KVSIFT_UNROLL for (int v = 0; v < parts; v++) dots[m][p][v] = start;
        }
      }
      KVSIFT_UNROLL for (int step = 0; step < Group / 4; step++) {
        const int unit = groups == 1 ? Codes::unit(step) : g * (Group / 4) + step;
        I w[Panels][parts];
        KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
          KVSIFT_UNROLL for (int v = 0; v < parts; v++) w[p][v] = Codes::load_unit(source[p], block, unit, v);
        }
        KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
          const I value = splat(word_at(codes + static_cast<std::size_t>(m) * x.columns + block * 32 + static_cast<std::size_t>(unit) * 4));
          KVSIFT_UNROLL for (int p = 0; p < Panels; p++) {
            KVSIFT_UNROLL for (int v = 0; v < parts; v++) dots[m][p][v] = dot4<Codes::wide_codes>(dots[m][p][v], w[p][v], value);
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
  for (; row + Rows <= rows; row += Rows) code_block<Rows, Panels, Minimum, Group>(source, x, row, target);
  if constexpr (Rows > 1) {
    // Each further size costs compile time.
    constexpr int fewer = Rows == 8 ? 4 : Rows > 2 ? 2 : 1;
    if (row < rows) code_rows_from<fewer, Panels, Minimum, Group>(source, x, row, rows, target);
  }
}

template <bool Minimum, int Group, bool WideCodes>
void tile_with(const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  ByteCodes<WideCodes, true> source[tile_panels];
  const std::size_t groups = x.columns / Group;
  // A panel too few is made up by the last one again; the target is too narrow to take it.
  for (std::size_t at = 0; at < tile_panels; at++) {
    const std::size_t p = least(at, panels - 1);
    source[at].codes = reinterpret_cast<const std::byte*>(tile.codes + p * tile.code_stride);
    source[at].scales = reinterpret_cast<const std::byte*>(tile.scales + p * groups * 16);
    source[at].minimums = Minimum ? reinterpret_cast<const std::byte*>(tile.minimums + p * groups * 16) : nullptr;
  }
  code_rows_from<code_rows, tile_panels, Minimum, Group>(source, x, 0, rows, target);
}

/** Only sets without a direct product of bytes of both signs tell narrow codes from wide ones. */
#if (defined(__AVX2__) && !defined(__AVX512F__) && !defined(__AVXVNNI__)) || (defined(KVSIFT_NEON) && !defined(__ARM_FEATURE_MATMUL_INT8))
constexpr bool narrow_matters = true;
#else
constexpr bool narrow_matters = false;
#endif

template <bool Minimum, int Group>
void tile_by_width(const CodeFormat& format, const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  if constexpr (narrow_matters) {
    if (format.largest < 128) return tile_with<Minimum, Group, false>(tile, panels, x, rows, target);
  }
  tile_with<Minimum, Group, true>(tile, panels, x, rows, target);
}

void code_tile(const CodeFormat& format, const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target) {
  if (format.group == 16) {
    if (format.minimum) tile_by_width<true, 16>(format, tile, panels, x, rows, target);
    else tile_by_width<false, 16>(format, tile, panels, x, rows, target);
  } else {
    if (format.minimum) tile_by_width<true, 32>(format, tile, panels, x, rows, target);
    else tile_by_width<false, 32>(format, tile, panels, x, rows, target);
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
    if (format.minimum) panels_with<true, 16, ByteCodes<true, true, true>>(section, first, last, x, rows, target);
    else panels_with<false, 16, ByteCodes<true, true, true>>(section, first, last, x, rows, target);
  } else {
    if (format.minimum) panels_with<true, 32, ByteCodes<true, true, true>>(section, first, last, x, rows, target);
    else panels_with<false, 32, ByteCodes<true, false, true>>(section, first, last, x, rows, target);
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

/** One unit of four codes of 16 rows, whatever the form. */
KVSIFT_INLINE I section_unit(const PanelSection& section, const std::byte* panel, std::size_t block, int unit, int part) {
  if (section.kind == PanelKind::codes8) return ByteCodes<true, true>::load_unit({panel, nullptr, nullptr}, block, unit, part);
  if (section.format.table) return NibbleCodes<true, true>::load_unit({panel, nullptr, nullptr}, block, unit, part);
  return NibbleCodes<false, true>::load_unit({panel, nullptr, nullptr}, block, unit, part);
}

KVSIFT_INLINE F section_scale(const PanelSection& section, const std::byte* scales, std::size_t index) {
  return section.format.wide_scale ? load_scale<true>(scales, index) : load_scale<false>(scales, index);
}

void unpack_codes(const PanelSection& section, const std::byte* panel, std::uint8_t* codes, float* scales, float* minimums) {
  if (codes != nullptr) {
    for (std::size_t block = 0; block < section.columns / 32; block++) {
      for (int unit = 0; unit < 8; unit++) {
        for (int part = 0; part < parts; part++) {
          store_bits(codes + (block * 8 + static_cast<std::size_t>(unit)) * 64 + static_cast<std::size_t>(part) * lanes * 4,
                     section_unit(section, panel, block, unit, part));
        }
      }
    }
  }
  const std::size_t count = section.columns / section.format.group * 16;
  for (std::size_t at = 0; at < count; at += lanes) {
    store(scales + at, section_scale(section, panel + section.scale_offset, at));
    if (section.format.minimum) store(minimums + at, section_scale(section, panel + section.minimum_offset, at));
  }
}

void unpack_codes_as_values(const PanelSection& section, const std::byte* panel, std::size_t first, std::size_t last, float* values) {
  const CodeFormat& format = section.format;
  const I zero = splat(std::int32_t{format.zero});
  for (std::size_t unit = first / 4; unit < (last + 3) / 4; unit++) {
    const std::size_t group = unit * 4 / format.group;
    for (int part = 0; part < parts; part++) {
      const std::size_t lane = static_cast<std::size_t>(part) * lanes;
      const F scale = section_scale(section, panel + section.scale_offset, group * 16 + lane);
      const F minimum = format.minimum ? section_scale(section, panel + section.minimum_offset, group * 16 + lane) : splat(0.0F);
      const I four = section_unit(section, panel, unit / 8, static_cast<int>(unit % 8), part);
      for (std::size_t k = 0; k < 4; k++) {
        const I code = ((four >> static_cast<int>(8 * k)) & 255) - zero;
        store(values + (unit * 4 + k - first) * 16 + lane, scale * to_float(code) + minimum);
      }
    }
  }
}

/** first and last are multiples of 4, or the end. */
void unpack_values(const PanelSection& section, const std::byte* panel, std::size_t first, std::size_t last, float* values) {
  if (section.coded()) return unpack_codes_as_values(section, panel, first, last, values);
  for (std::size_t k = first; k < last; k++) {
    for (std::size_t lane = 0; lane < 16; lane += lanes) {
      float* out = values + (k - first) * 16 + lane;
      if (section.kind == PanelKind::f16) {
        store(out, load_f16(panel + (k * 16 + lane) * 2));
      } else if (section.kind == PanelKind::f32) {
        store(out, load_scale<true>(panel, k * 16 + lane));
      } else {
        const I pair = load_bits(panel + (k / 2 * 16 + lane) * 4);
        const I bits = k % 2 == 0 ? pair << 16 : pair & splat(static_cast<std::int32_t>(0xffff0000U));
        store(out, reinterpret_cast<F>(bits));
      }
    }
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
    constexpr int fewer = Rows > 4 ? 4 : 1;
    if (row < rows) value_rows_from<fewer, Panels>(values, value_stride, depth, x, x_stride, row, rows, first, target);
  }
}

void value_tile(const float* values, std::size_t value_stride, std::size_t panels, std::size_t depth, const float* x, std::size_t x_stride, std::size_t rows,
                bool first, const ProductTarget& target) {
  if constexpr (tile_panels == 2) {
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

#if defined(__AMX_BF16__)

/** Two values of each of 16 rows as pairs. */
KVSIFT_INLINE void store_pairs(std::byte* to, F even, F odd) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  store_bits(to, reinterpret_cast<I>(_mm512_permutexvar_epi16(order, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even)))));
}

template <class Codes, bool Minimum, int Group>
void unpack_codes_as_pairs(const PanelSection& section, const std::byte* panel, std::byte* pairs) {
  const Codes codes{panel, nullptr, nullptr};
  const F zero = splat(8388608.0F + static_cast<float>(section.format.zero));
  for (std::size_t block = 0; block < section.columns / 32; block++) {
    KVSIFT_UNROLL for (int g = 0; g < 32 / Group; g++) {
      const std::size_t at = (block * (32 / Group) + static_cast<std::size_t>(g)) * 16;
      const F scale = section_scale(section, panel + section.scale_offset, at);
      const F minimum = Minimum ? section_scale(section, panel + section.minimum_offset, at) : splat(0.0F);
      KVSIFT_UNROLL for (int step = 0; step < Group / 4; step++) {
        const int unit = g * (Group / 4) + step;
        const I four = Codes::load_unit(codes, block, unit, 0);
        // A code in the last bits of 2^23 is 2^23 + code.
        const auto value = [&](int k) __attribute__((always_inline)) {
          const F code = reinterpret_cast<F>(((four >> (8 * k)) & 255) | 0x4b000000) - zero;
          return Minimum ? code * scale + minimum : code * scale;
        };
        std::byte* to = pairs + (block * 8 + static_cast<std::size_t>(unit)) * 128;
        store_pairs(to, value(0), value(1));
        store_pairs(to + 64, value(2), value(3));
      }
    }
  }
}

template <class Codes>
void unpack_as_pairs(const PanelSection& section, const std::byte* panel, std::byte* pairs) {
  const CodeFormat& format = section.format;
  if (format.group == 16) {
    if (format.minimum) unpack_codes_as_pairs<Codes, true, 16>(section, panel, pairs);
    else unpack_codes_as_pairs<Codes, false, 16>(section, panel, pairs);
  } else {
    if (format.minimum) unpack_codes_as_pairs<Codes, true, 32>(section, panel, pairs);
    else unpack_codes_as_pairs<Codes, false, 32>(section, panel, pairs);
  }
}

void unpack_pairs(const PanelSection& section, const std::byte* panel, std::byte* pairs) {
  if (section.kind == PanelKind::codes8) return unpack_as_pairs<ByteCodes<true, true>>(section, panel, pairs);
  if (section.kind == PanelKind::codes4 && section.format.table) return unpack_as_pairs<NibbleCodes<true, true>>(section, panel, pairs);
  if (section.kind == PanelKind::codes4) return unpack_as_pairs<NibbleCodes<false, true>>(section, panel, pairs);
  for (std::size_t k = 0; k < section.columns; k += 2) {
    const F odd = k + 1 < section.columns ? load_f16(panel + (k + 1) * 32) : splat(0.0F);
    store_pairs(pairs + k / 2 * 64, load_f16(panel + k * 32), odd);
  }
}

#endif

}  // namespace

ProductKernels product_kernels() {
  ProductKernels kernels{};
  kernels.tile_panels = tile_panels;
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
  kernels.begin_pairs = begin_pairs;
  kernels.end_pairs = end_pairs;
#endif
  return kernels;
}

}  // namespace kvsift::KVSIFT_NS

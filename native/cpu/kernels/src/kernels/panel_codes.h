#pragma once

// What lies in a panel: its codes as kernels load them, and as codes, values or bf16 pairs of their own. Part of products.cpp.

#include "byte_sums.h"
#include "finish_row.h"

namespace kvsift::KVSIFT_NS {

namespace {

template <bool Wide>
KVSIFT_INLINE F load_scale(const std::byte* scales, std::size_t index) {
  if constexpr (Wide) return load(reinterpret_cast<const float*>(scales) + index);
  else return load_f16(scales + 2 * index);
}

/** Few rows read weights once, faster than the hardware looks ahead: bytes from a load to what is fetched for later. */
constexpr std::size_t fetch_ahead = 8192;

/** Codes as bytes [K / 4][16][4]. `Stream`: they come from memory. */
template <int Top, bool WideScales, bool Stream = false>
struct ByteCodes {
  static constexpr int top = Top;
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
  static constexpr int top = Table ? whole_bytes : nibbles;
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

/** One unit of four codes of 16 rows, whatever the form. */
KVSIFT_INLINE I section_unit(const PanelSection& section, const std::byte* panel, std::size_t block, int unit, int part) {
  if (section.kind == PanelKind::codes8) return ByteCodes<whole_bytes, true>::load_unit({panel, nullptr, nullptr}, block, unit, part);
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

/** Values [first, last) of K, both within multiples of 4, as f32 [last − first][16]. */
template <class Codes, bool Minimum, int Group>
void unpack_codes_as_values(const PanelSection& section, const std::byte* panel, std::size_t first, std::size_t last, float* values) {
  const Codes codes{panel, nullptr, nullptr};
  const I zero = splat(std::int32_t{section.format.zero});
  for (std::size_t at = first; at < last;) {
    const std::size_t group = at / Group;
    const std::size_t end = least(last, (group + 1) * Group);
    F scale[parts];
    F minimum[parts];
    KVSIFT_UNROLL for (int v = 0; v < parts; v++) {
      const std::size_t index = group * 16 + static_cast<std::size_t>(v * lanes);
      scale[v] = section_scale(section, panel + section.scale_offset, index);
      minimum[v] = Minimum ? section_scale(section, panel + section.minimum_offset, index) : splat(0.0F);
    }
    for (; at < end; at += 4) {
      float* to = values + (at - first) * 16;
      KVSIFT_UNROLL for (int v = 0; v < parts; v++) {
        const I four = Codes::load_unit(codes, at / 32, static_cast<int>(at % 32 / 4), v);
        KVSIFT_UNROLL for (int k = 0; k < 4; k++) store(to + k * 16 + v * lanes, scale[v] * to_float(((four >> (8 * k)) & 255) - zero) + minimum[v]);
      }
    }
  }
}

template <class Codes>
void unpack_as_values(const PanelSection& section, const std::byte* panel, std::size_t first, std::size_t last, float* values) {
  const CodeFormat& format = section.format;
  if (format.group == 16) {
    if (format.minimum) unpack_codes_as_values<Codes, true, 16>(section, panel, first, last, values);
    else unpack_codes_as_values<Codes, false, 16>(section, panel, first, last, values);
  } else {
    if (format.minimum) unpack_codes_as_values<Codes, true, 32>(section, panel, first, last, values);
    else unpack_codes_as_values<Codes, false, 32>(section, panel, first, last, values);
  }
}

/** first and last are multiples of 4, or the end. */
void unpack_values(const PanelSection& section, const std::byte* panel, std::size_t first, std::size_t last, float* values) {
  const auto by_row = [&](auto read) __attribute__((always_inline)) {
    for (std::size_t k = first; k < last; k++) {
      KVSIFT_UNROLL for (int v = 0; v < parts; v++) store(values + (k - first) * 16 + static_cast<std::size_t>(v * lanes), read(k * 16 + static_cast<std::size_t>(v * lanes)));
    }
  };
  switch (section.kind) {
    case PanelKind::codes8: return unpack_as_values<ByteCodes<whole_bytes, true>>(section, panel, first, last, values);
    case PanelKind::codes4:
      if (section.format.table) return unpack_as_values<NibbleCodes<true, true>>(section, panel, first, last, values);
      return unpack_as_values<NibbleCodes<false, true>>(section, panel, first, last, values);
    case PanelKind::f16: return by_row([&](std::size_t at) __attribute__((always_inline)) { return load_f16(panel + at * 2); });
    case PanelKind::f32: return by_row([&](std::size_t at) __attribute__((always_inline)) { return load_scale<true>(panel, at); });
    case PanelKind::bf16: break;
  }
  for (std::size_t k = first; k < last; k += 2) {
    KVSIFT_UNROLL for (int v = 0; v < parts; v++) {
      const I pair = load_bits(panel + (k / 2 * 16 + static_cast<std::size_t>(v * lanes)) * 4);
      float* to = values + (k - first) * 16 + static_cast<std::size_t>(v * lanes);
      store(to, reinterpret_cast<F>(pair << 16));
      if (k + 1 < last) store(to + 16, reinterpret_cast<F>(pair & splat(static_cast<std::int32_t>(0xffff0000U))));
    }
  }
}

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

/** Codes of four bits: what each of the 16 stands for is looked up. */
template <bool Minimum, int Group>
void unpack_nibbles_as_pairs(const PanelSection& section, const std::byte* panel, F values, std::byte* pairs) {
  for (std::size_t block = 0; block < section.columns / 32; block++) {
    F scale[32 / Group];
    F minimum[32 / Group];
    KVSIFT_UNROLL for (int g = 0; g < 32 / Group; g++) {
      const std::size_t at = (block * (32 / Group) + static_cast<std::size_t>(g)) * 16;
      scale[g] = section_scale(section, panel + section.scale_offset, at);
      minimum[g] = Minimum ? section_scale(section, panel + section.minimum_offset, at) : splat(0.0F);
    }
    KVSIFT_UNROLL for (int unit = 0; unit < 4; unit++) {
      const I both = load_bits(panel + (block * 4 + static_cast<std::size_t>(unit)) * 64);
      KVSIFT_UNROLL for (int half = 0; half < 2; half++) {
        const int g = half * (32 / Group - 1);
        // Bits above an index's four count for nothing.
        const auto value = [&](int k) __attribute__((always_inline)) {
          const F code = _mm512_permutexvar_ps(reinterpret_cast<__m512i>(both >> (8 * k + 4 * half)), values);
          return Minimum ? code * scale[g] + minimum[g] : code * scale[g];
        };
        std::byte* to = pairs + (block * 8 + static_cast<std::size_t>(unit + 4 * half)) * 128;
        store_pairs(to, value(0), value(1));
        store_pairs(to + 64, value(2), value(3));
      }
    }
  }
}

void unpack_pairs(const PanelSection& section, const std::byte* panel, std::byte* pairs) {
  if (section.kind == PanelKind::codes8) return unpack_as_pairs<ByteCodes<whole_bytes, true>>(section, panel, pairs);
  if (section.kind == PanelKind::codes4) {
    float values[16];
    for (int code = 0; code < 16; code++) values[code] = static_cast<float>((section.format.table ? iq4_table[code] : code) - section.format.zero);
    const bool narrow = section.format.group == 16;
    if (section.format.minimum) return narrow ? unpack_nibbles_as_pairs<true, 16>(section, panel, load(values), pairs) : unpack_nibbles_as_pairs<true, 32>(section, panel, load(values), pairs);
    return narrow ? unpack_nibbles_as_pairs<false, 16>(section, panel, load(values), pairs) : unpack_nibbles_as_pairs<false, 32>(section, panel, load(values), pairs);
  }
  for (std::size_t k = 0; k < section.columns; k += 2) {
    const F odd = k + 1 < section.columns ? load_f16(panel + (k + 1) * 32) : splat(0.0F);
    store_pairs(pairs + k / 2 * 64, load_f16(panel + k * 32), odd);
  }
}

#endif

}  // namespace

}  // namespace kvsift::KVSIFT_NS

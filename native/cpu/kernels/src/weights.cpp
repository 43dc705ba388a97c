#include "kvsift/weights.h"

#include <algorithm>
#include <cstring>

#include "kernel_table.h"
#include "panels.h"

namespace kvsift {

namespace {

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

PanelSection plan(Context& context, const WeightSource& source, std::size_t first_row, Compute compute) {
  PanelSection section;
  section.first_row = first_row;
  section.rows = source.rows;
  section.columns = source.columns;
  section.panels = (source.rows + panel_rows - 1) / panel_rows;
  std::size_t bytes = 0;
  if (is_block_format(source.type)) {
    section.format = code_format(source.type);
    section.kind = section.format.bits == 4 ? PanelKind::codes4 : PanelKind::codes8;
    const std::size_t scale_bytes = source.columns / section.format.group * panel_rows * (section.format.wide_scale ? 4 : 2);
    section.scale_offset = source.columns * panel_rows * section.format.bits / 8;
    section.minimum_offset = section.scale_offset + scale_bytes;
    bytes = section.minimum_offset + (section.format.minimum ? scale_bytes : 0);
  } else if (source.type == DType::bf16 || compute == Compute::int8) {
    section.kind = PanelKind::bf16;
    bytes = round_up(source.columns, 2) * panel_rows * 2;
  } else {
    section.kind = source.type == DType::f16 ? PanelKind::f16 : PanelKind::f32;
    bytes = source.columns * panel_rows * (source.type == DType::f16 ? 2 : 4);
  }
  section.panel_bytes = round_up(bytes, 64);
  section.data = context.lasting_memory(section.panel_bytes * section.panels);
  return section;
}

const std::uint8_t* source_row(const WeightSource& source, std::size_t row) {
  const std::size_t stored = source.row_order != nullptr ? static_cast<std::size_t>(source.row_order[row]) : row;
  return static_cast<const std::uint8_t*>(source.data) + stored * row_bytes(source.type, source.columns);
}

template <class Value>
void put(std::byte* at, std::size_t index, Value value) {
  std::memcpy(at + index * sizeof(Value), &value, sizeof(Value));
}

void put_scale(const CodeFormat& format, std::byte* at, std::size_t index, float value) {
  if (format.wide_scale) put(at, index, value);
  else put(at, index, f32_to_f16(value));
}

/** Row r of a panel from a block format. */
void pack_codes(const PanelSection& section, DType type, const std::uint8_t* row, std::byte* panel, std::size_t r) {
  const CodeFormat& format = section.format;
  const BlockLayout layout = block_layout(type);
  BlockCodes block;
  for (std::size_t k = 0; k < section.columns; k += layout.values, row += layout.bytes) {
    decode_block(type, row, block);
    for (std::size_t i = 0; i < layout.values; i += format.group) {
      const std::size_t at = (k + i) / format.group * panel_rows + r;
      put_scale(format, panel + section.scale_offset, at, block.scales[i / format.group]);
      if (format.minimum) put_scale(format, panel + section.minimum_offset, at, block.minimums[i / format.group]);
    }
    if (section.kind == PanelKind::codes8) {
      for (std::size_t i = 0; i < layout.values; i += 4) std::memcpy(panel + (k + i) * panel_rows + r * 4, block.codes + i, 4);
      continue;
    }
    for (std::size_t i = 0; i < layout.values; i += 32) {
      std::uint8_t pairs[16];
      for (int t = 0; t < 16; t++) pairs[t] = static_cast<std::uint8_t>(block.codes[i + t] | block.codes[i + t + 16] << 4);
      for (std::size_t j = 0; j < 4; j++) std::memcpy(panel + (k + i) * panel_rows / 2 + j * 64 + r * 4, pairs + 4 * j, 4);
    }
  }
}

/** Row r of a panel of f32 or f16 from a row of the same type. */
template <class Value>
void pack_values(const PanelSection& section, const std::uint8_t* row, std::byte* panel, std::size_t r) {
  for (std::size_t k = 0; k < section.columns; k++) std::memcpy(panel + (k * panel_rows + r) * sizeof(Value), row + k * sizeof(Value), sizeof(Value));
}

/** Row r of a panel of bf16 pairs from any floating-point type. `scratch`: six bytes per column. */
void pack_pairs(const RowKernels& kernels, const PanelSection& section, DType type, const std::uint8_t* row, std::byte* scratch, std::byte* panel, std::size_t r) {
  const std::size_t columns = section.columns;
  if (type != DType::bf16) {
    auto* wide = reinterpret_cast<float*>(scratch);
    auto* halves = reinterpret_cast<std::uint16_t*>(scratch + columns * sizeof(float));
    dequantize_row(type, row, columns, wide);
    kernels.to_bf16(wide, columns, halves);
    row = reinterpret_cast<const std::uint8_t*>(halves);
  }
  for (std::size_t k = 0; k + 2 <= columns; k += 2) std::memcpy(panel + (k / 2 * panel_rows + r) * 4, row + 2 * k, 4);
  if (columns % 2 != 0) std::memcpy(panel + (columns / 2 * panel_rows + r) * 4, row + 2 * (columns - 1), 2);
}

void pack_panel(const RowKernels& kernels, const PanelSection& section, const WeightSource& source, std::size_t index, std::byte* scratch) {
  std::byte* panel = section.data.get() + index * section.panel_bytes;
  const std::size_t first = index * panel_rows;
  const std::size_t count = std::min(panel_rows, section.rows - first);
  if (count < panel_rows || (section.kind == PanelKind::bf16 && section.columns % 2 != 0)) std::memset(panel, 0, section.panel_bytes);
  for (std::size_t r = 0; r < count; r++) {
    const std::uint8_t* row = source_row(source, first + r);
    if (section.coded()) pack_codes(section, source.type, row, panel, r);
    else if (section.kind == PanelKind::f32) pack_values<float>(section, row, panel, r);
    else if (section.kind == PanelKind::f16) pack_values<std::uint16_t>(section, row, panel, r);
    else pack_pairs(kernels, section, source.type, row, scratch, panel, r);
  }
}

std::size_t total_rows(std::span<const WeightSource> sources) {
  std::size_t rows = 0;
  for (const auto& source : sources) rows += source.rows;
  return rows;
}

/** Row of the stack of sources; null beyond the last. */
const std::uint8_t* stacked_row(std::span<const WeightSource> sources, std::size_t row, DType& type) {
  for (const auto& source : sources) {
    if (row < source.rows) {
      type = source.type;
      return source_row(source, row);
    }
    row -= source.rows;
  }
  return nullptr;
}

}  // namespace

PackedWeight::PackedWeight(Context& context, std::span<const WeightSource> sources, Compute compute) {
  columns_ = sources.empty() ? 0 : sources[0].columns;
  sections_.reserve(sources.size());
  for (const auto& source : sources) {
    sections_.push_back(plan(context, source, rows_, compute));
    rows_ += source.rows;
  }
  for (std::size_t index = 0; index < sources.size(); index++) {
    const PanelSection& section = sections_[index];
    context.parallel_for(section.panels, 1, [&](std::size_t panel, std::size_t, std::size_t thread) {
      auto* scratch = static_cast<std::byte*>(context.thread_scratch(thread, section.columns * 6));
      pack_panel(context.kernels().rows, section, sources[index], panel, scratch);
    });
  }
}

PackedWeight::~PackedWeight() = default;
PackedWeight::PackedWeight(PackedWeight&&) noexcept = default;
PackedWeight& PackedWeight::operator=(PackedWeight&&) noexcept = default;

std::size_t PackedWeight::bytes() const {
  std::size_t bytes = 0;
  for (const auto& section : sections_) bytes += section.panel_bytes * section.panels;
  return bytes;
}

std::span<const PanelSection> PackedWeight::sections() const { return sections_; }

void dequantize(Context& context, std::span<const WeightSource> sources, float* out) {
  if (sources.empty()) return;
  const std::size_t columns = sources[0].columns;
  context.parallel_for(total_rows(sources), 8, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) {
      DType type = DType::f32;
      const std::uint8_t* source = stacked_row(sources, row, type);
      dequantize_row(type, source, columns, out + row * columns);
    }
  });
}

std::ptrdiff_t embedding(Context& context, std::span<const WeightSource> table, const std::int32_t* ids, std::size_t count, float scale, float* out) {
  const std::size_t rows = total_rows(table);
  for (std::size_t at = 0; at < count; at++) {
    if (ids[at] < 0 || static_cast<std::size_t>(ids[at]) >= rows) return static_cast<std::ptrdiff_t>(at);
  }
  const std::size_t columns = table.empty() ? 0 : table[0].columns;
  context.parallel_for(count, 8, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t at = begin; at < end; at++) {
      DType type = DType::f32;
      const std::uint8_t* source = stacked_row(table, static_cast<std::size_t>(ids[at]), type);
      float* row = out + at * columns;
      dequantize_row(type, source, columns, row);
      if (scale != 1) {
        for (std::size_t c = 0; c < columns; c++) row[c] *= scale;
      }
    }
  });
  return -1;
}

}  // namespace kvsift

#include "section_products.h"

#include <algorithm>
#include <cstring>

namespace kvsift {

namespace {

/** Rows that one task multiplies with a tile, at least; more while their activations, a byte each, stay in the second-level cache. */
constexpr std::size_t block_rows = 256;
constexpr std::size_t block_bytes = std::size_t{320} << 10;
/** Part of K that exact products take at a time. */
constexpr std::size_t depth_step = 256;

void quantize(Context& context, Activations& to, std::size_t rows) {
  const std::size_t columns = to.columns;
  auto* codes = static_cast<std::int8_t*>(context.shared_scratch(0, rows * columns));
  auto* scales = static_cast<float*>(context.shared_scratch(1, rows * columns / quant_block * sizeof(float)));
  auto* sums = static_cast<std::int32_t*>(context.shared_scratch(2, rows * columns / 16 * sizeof(std::int32_t)));
  const auto& kernels = context.kernels().products;
  const auto work = [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) {
      kernels.quantize(to.x + row * columns, columns, codes + row * columns, scales + row * columns / quant_block, sums + row * columns / 16);
    }
  };
  if (rows <= few_rows) work(0, rows, 0);
  else context.parallel_for(rows, 16, work);
  to.codes = {codes, scales, nullptr, columns};
  to.sums = sums;
}

void halve(Context& context, Activations& to, std::size_t rows) {
  const std::size_t stride = (to.columns + 1) / 2 * 2;
  auto* halves = static_cast<std::uint16_t*>(context.shared_scratch(3, rows * stride * sizeof(std::uint16_t)));
  const auto work = [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) {
      context.kernels().rows.to_bf16(to.x + row * to.columns, to.columns, halves + row * stride);
      if (stride > to.columns) halves[row * stride + to.columns] = 0;
    }
  };
  if (rows <= few_rows) work(0, rows, 0);
  else context.parallel_for(rows, 16, work);
  to.halves = halves;
  to.half_stride = stride;
}

/** What a format needs besides codes and scales, see QuantizedRows. */
std::int32_t* make_extras(Context& context, const CodeFormat& format, const Activations& x, std::size_t rows) {
  const std::size_t groups = x.columns / format.group;
  const std::size_t step = format.group / 16;
  auto* extras = static_cast<std::int32_t*>(context.shared_scratch(4, rows * groups * sizeof(std::int32_t)));
  const auto work = [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) {
      const std::int32_t* sums = x.sums + row * x.columns / 16;
      const float* scales = x.codes.scales + row * x.columns / quant_block;
      std::int32_t* out = extras + row * groups;
      for (std::size_t group = 0; group < groups; group++) {
        const std::int32_t sum = step == 1 ? sums[group] : sums[2 * group] + sums[2 * group + 1];
        if (format.minimum) {
          const float scaled = scales[group * format.group / quant_block] * static_cast<float>(sum);
          std::memcpy(out + group, &scaled, sizeof scaled);
        } else {
          out[group] = -format.zero * sum;
        }
      }
    }
  };
  if (rows <= few_rows) work(0, rows, 0);
  else context.parallel_for(rows, 64, work);
  return extras;
}

/** `count` panels from `panel` on, rows [first, last), with exact weights. */
void multiply_values(Context& context, std::size_t thread, const PanelSection& section, std::size_t panel, std::size_t count, const Activations& x,
                     std::size_t first, std::size_t last, const ProductTarget& target) {
  const auto& kernels = context.kernels().products;
  const std::size_t stride = depth_step * panel_rows;
  auto* values = static_cast<float*>(context.thread_scratch(thread, count * stride * sizeof(float)));
  for (std::size_t k = 0; k < section.columns; k += depth_step) {
    const std::size_t end = std::min(section.columns, k + depth_step);
    for (std::size_t p = 0; p < count; p++) kernels.unpack_values(section, section.panel(panel + p), k, end, values + p * stride);
    kernels.value_tile(values, stride, count, end - k, x.x + first * x.columns + k, x.columns, last - first, k == 0, target);
  }
}

void multiply_codes(Context& context, std::size_t thread, const PanelSection& section, std::size_t panel, std::size_t count, const Activations& x,
                    const std::int32_t* extras, std::size_t first, std::size_t last, const ProductTarget& target) {
  const auto& kernels = context.kernels().products;
  const std::size_t groups = section.columns / section.format.group;
  const bool packed = section.kind == PanelKind::codes4;
  const std::size_t scale_count = count * groups * panel_rows;
  const std::size_t code_bytes = packed ? count * section.columns * panel_rows : 0;
  auto* scratch = static_cast<std::byte*>(context.thread_scratch(thread, code_bytes + 2 * scale_count * sizeof(float)));
  auto* codes = reinterpret_cast<std::uint8_t*>(scratch);
  auto* scales = reinterpret_cast<float*>(scratch + code_bytes);
  float* minimums = scales + scale_count;
  for (std::size_t p = 0; p < count; p++) {
    kernels.unpack_codes(section, section.panel(panel + p), packed ? codes + p * section.columns * panel_rows : nullptr, scales + p * groups * panel_rows,
                         minimums + p * groups * panel_rows);
  }
  const CodeTile tile{packed ? codes : reinterpret_cast<const std::uint8_t*>(section.panel(panel)), packed ? section.columns * panel_rows : section.panel_bytes,
                      scales, section.format.minimum ? minimums : nullptr};
  const QuantizedRows part{x.codes.codes + first * x.columns, x.codes.scales + first * x.columns / quant_block, extras + first * groups, x.columns};
  kernels.code_tile(section.format, tile, count, part, last - first, target);
}

void multiply_pairs(Context& context, std::size_t thread, const PanelSection& section, std::size_t panel, std::size_t count, const Activations& x,
                    std::size_t first, std::size_t last, const ProductTarget& target) {
  const auto& kernels = context.kernels().products;
  const std::size_t pairs = (section.columns + 1) / 2;
  const std::byte* panels = section.panel(panel);
  std::size_t stride = section.panel_bytes;
  if (section.kind != PanelKind::bf16) {
    stride = pairs * panel_rows * 4;
    auto* unpacked = static_cast<std::byte*>(context.thread_scratch(thread, count * stride));
    for (std::size_t p = 0; p < count; p++) kernels.unpack_pairs(section, section.panel(panel + p), unpacked + p * stride);
    panels = unpacked;
  }
  kernels.pair_tile(panels, stride, count, pairs, x.halves + first * x.half_stride, x.half_stride, last - first, target);
}

}  // namespace

Path path_of(const PanelSection& section, Compute compute, const ProductKernels& kernels, bool many) {
  if (compute == Compute::f32 || section.kind == PanelKind::f32) return Path::values;
  if (kernels.unpack_pairs != nullptr && many) return Path::pairs;
  if (section.coded()) return Path::codes;
  return section.kind == PanelKind::bf16 && kernels.bf16 ? Path::pairs : Path::values;
}

bool takes_pairs(const PackedWeight& weight, Compute compute, const ProductKernels& kernels) {
  const auto sections = weight.sections();
  return std::all_of(sections.begin(), sections.end(), [&](const PanelSection& section) { return path_of(section, compute, kernels, true) == Path::pairs; });
}

bool same_extras(const CodeFormat& a, const CodeFormat& b) { return a.group == b.group && a.minimum == b.minimum && a.zero == b.zero; }

const std::int32_t* Prepared::prepare(const PanelSection& section, Path path) {
  if (path == Path::codes) {
    if (activations_.codes.codes == nullptr) quantize(context_, activations_, rows_);
    if (filled_ == nullptr || !same_extras(*filled_, section.format)) {
      extras_ = make_extras(context_, section.format, activations_, rows_);
      filled_ = &section.format;
    }
  } else if (path == Path::pairs && activations_.halves == nullptr) {
    halve(context_, activations_, rows_);
  }
  return extras_;
}

void SectionProducts::multiply(Context& context, std::size_t thread, std::size_t panel, std::size_t count, std::size_t first, std::size_t last,
                               const ProductTarget& target) const {
  if (path == Path::codes) multiply_codes(context, thread, section, panel, count, x, extras, first, last, target);
  else if (path == Path::pairs) multiply_pairs(context, thread, section, panel, count, x, first, last, target);
  else multiply_values(context, thread, section, panel, count, x, first, last, target);
}

std::size_t SectionProducts::most_rows() const {
  return path == Path::pairs ? block_rows : std::max(block_rows, block_bytes / std::max<std::size_t>(section.columns, 1));
}

std::size_t SectionProducts::width(const Context& context, std::size_t rows, std::size_t panels, std::size_t blocks, std::size_t most) const {
  if (path == Path::values) return context.kernels().products.block_panels;
  std::size_t width = tile_panels;
  if (path != Path::pairs || rows <= few_rows) return width;
  while (2 * width <= most && panels / (2 * width) * blocks >= 2 * context.threads()) width *= 2;
  return width;
}

}  // namespace kvsift

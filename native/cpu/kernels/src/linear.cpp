#include "kvsift/linear.h"

#include <algorithm>
#include <cstring>

#include "kernel_table.h"

namespace kvsift {

namespace {

/** Up to this many rows the weights are read once, straight from their panels. */
constexpr std::size_t few_rows = 8;
/** Rows that one task multiplies with a tile, at least; more while their activations, a byte each, stay in the second-level cache. */
constexpr std::size_t block_rows = 256;
constexpr std::size_t block_bytes = std::size_t{320} << 10;
/** From this many rows on weights are worth bringing into bf16 pairs, where the machine has fast products of those. */
constexpr std::size_t pair_rows = 24;
/** Panels that a task takes at a time then, at most: their sums go to memory side by side. */
constexpr std::size_t pair_panels = 8;
/** Part of K that exact products take at a time. */
constexpr std::size_t depth_step = 256;

enum class Path : std::uint8_t { codes, pairs, values };

Path path_of(const PanelSection& section, Compute compute, const ProductKernels& kernels, bool many) {
  if (compute == Compute::f32 || section.kind == PanelKind::f32) return Path::values;
  if (kernels.unpack_pairs != nullptr && many) return Path::pairs;
  if (section.coded()) return Path::codes;
  return section.kind == PanelKind::bf16 && kernels.bf16 ? Path::pairs : Path::values;
}

/** The activations of one call in the forms that its sections need. */
struct Activations {
  const float* x = nullptr;
  std::size_t columns = 0;
  QuantizedRows codes{};
  const std::int32_t* sums = nullptr;  // of each 16 codes
  const std::uint16_t* halves = nullptr;
  std::size_t half_stride = 0;
};

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

bool same_extras(const CodeFormat& a, const CodeFormat& b) { return a.group == b.group && a.minimum == b.minimum && a.zero == b.zero; }

struct Call {
  const PackedWeight& weight;
  std::size_t rows;
  const float* bias;
  const float* residual;
  float* out;

  ProductTarget target(const PanelSection& section, std::size_t panel, std::size_t row) const {
    const std::size_t column = section.first_row + panel * panel_rows;
    const std::size_t stride = weight.rows();
    return {out + row * stride + column, stride, section.rows - panel * panel_rows, bias != nullptr ? bias + column : nullptr,
            residual != nullptr ? residual + row * stride + column : nullptr};
  }
};

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

/** What products of many rows of one section need. */
struct Products {
  const PanelSection& section;
  Path path;
  const Activations& x;
  const std::int32_t* extras;  // with codes

  void multiply(Context& context, std::size_t thread, std::size_t panel, std::size_t count, std::size_t first, std::size_t last,
                const ProductTarget& target) const {
    if (path == Path::codes) multiply_codes(context, thread, section, panel, count, x, extras, first, last, target);
    else if (path == Path::pairs) multiply_pairs(context, thread, section, panel, count, x, first, last, target);
    else multiply_values(context, thread, section, panel, count, x, first, last, target);
  }

  /** Rows of one task, at most. */
  std::size_t most_rows() const { return path == Path::pairs ? block_rows : std::max(block_rows, block_bytes / std::max<std::size_t>(section.columns, 1)); }

  /** Panels of one task of `panels`, no more than `most` where that is a choice. */
  std::size_t width(const Context& context, std::size_t rows, std::size_t panels, std::size_t blocks, std::size_t most) const {
    if (path == Path::values) return context.kernels().products.block_panels;
    std::size_t width = tile_panels;
    if (path != Path::pairs || rows <= few_rows) return width;
    while (2 * width <= most && panels / (2 * width) * blocks >= 2 * context.threads()) width *= 2;
    return width;
  }
};

/** Panels of one task where there are few rows: two tasks a thread, but no more than 128 KB of weights, so that a thread that is late holds nobody up. */
std::size_t few_row_grain(const Context& context, std::size_t panels, std::size_t panel_bytes) {
  const std::size_t most = std::max<std::size_t>(1, 131072 / std::max<std::size_t>(panel_bytes, 1));
  return std::min(most, (panels + 2 * context.threads() - 1) / (2 * context.threads()));
}

/** Few rows with all sections at once, whose activations have one form: one hand-out instead of one per section. */
void multiply_sections(Context& context, std::span<const PanelSection> sections, const QuantizedRows& rows, const Call& call) {
  const auto& kernels = context.kernels().products;
  std::size_t panels = 0;
  for (const auto& section : sections) panels += section.panels;
  context.parallel_for(panels, few_row_grain(context, panels, sections[0].panel_bytes), [&](std::size_t begin, std::size_t end, std::size_t) {
    std::size_t before = 0;
    for (const auto& section : sections) {
      const std::size_t first = std::max(begin, before);
      const std::size_t last = std::min(end, before + section.panels);
      if (first < last) kernels.code_panels(section, first - before, last - before, rows, call.rows, call.target(section, 0, 0));
      before += section.panels;
    }
  });
}

void multiply_section(Context& context, const PanelSection& section, Path path, const Activations& x, const std::int32_t* extras, const Call& call) {
  const auto& kernels = context.kernels().products;
  if (call.rows <= few_rows && path == Path::codes) {
    QuantizedRows rows = x.codes;
    rows.extras = extras;
    return multiply_sections(context, std::span(&section, 1), rows, call);
  }
  const Products products{section, path, x, extras};
  const std::size_t blocks = (call.rows + products.most_rows() - 1) / products.most_rows();
  const std::size_t width = products.width(context, call.rows, section.panels, blocks, pair_panels);
  const std::size_t groups = (section.panels + width - 1) / width;
  const std::size_t step = (call.rows + blocks - 1) / blocks;
  const std::size_t grain = call.rows <= few_rows ? std::max<std::size_t>(1, few_row_grain(context, section.panels, section.panel_bytes) / width) : 1;
  context.parallel_for(groups * blocks, grain, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    const PairScope scope(kernels, path == Path::pairs);
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t panel = task % groups * width;
      const std::size_t count = std::min(width, section.panels - panel);
      const std::size_t first = task / groups * step;
      ProductTarget target = call.target(section, panel, first);
      target.columns = std::min(target.columns, count * panel_rows);
      products.multiply(context, thread, panel, count, first, std::min(call.rows, first + step), target);
    }
  });
}

/** The activations of `linear` in the form that a section needs; @return its extras. */
class Prepared {
 public:
  Prepared(Context& context, const float* x, std::size_t rows, std::size_t columns) : context_(context), rows_(rows) {
    activations_.x = x;
    activations_.columns = columns;
  }

  const Activations& activations() const { return activations_; }

  const std::int32_t* prepare(const PanelSection& section, Path path) {
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

 private:
  Context& context_;
  std::size_t rows_;
  Activations activations_;
  const CodeFormat* filled_ = nullptr;
  std::int32_t* extras_ = nullptr;
};

/** Where the rows of one half of a weight lie. */
struct Half {
  const PanelSection* section = nullptr;
  std::size_t panel = 0;
};

/** A half that is made of whole panels of one section. */
Half half_at(const PackedWeight& weight, std::size_t first, std::size_t rows) {
  for (const PanelSection& section : weight.sections()) {
    if (section.first_row <= first && first + rows <= section.first_row + section.rows && (first - section.first_row) % panel_rows == 0) {
      return {&section, (first - section.first_row) / panel_rows};
    }
  }
  return {};
}

/** Products with both halves, some panels of each at a time, then the gate. */
void multiply_gated(Context& context, const Products& gates, std::size_t gate_panel, const Products& ups, std::size_t up_panel, std::size_t half,
                    std::size_t rows, Activation activation, float* out) {
  const std::size_t panels = half / panel_rows;
  const std::size_t most = std::min(gates.most_rows(), ups.most_rows());
  const std::size_t blocks = (rows + most - 1) / most;
  const std::size_t width = gates.width(context, rows, panels, blocks, pair_panels / 2);
  const std::size_t groups = (panels + width - 1) / width;
  const std::size_t step = (rows + blocks - 1) / blocks;
  const std::size_t stride = width * panel_rows;
  auto* memory = static_cast<float*>(context.shared_scratch(5, context.threads() * 2 * step * stride * sizeof(float)));
  context.parallel_for(groups * blocks, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const PairScope scope(context.kernels().products, gates.path == Path::pairs);
    float* gate = memory + thread * 2 * step * stride;
    float* up = gate + step * stride;
    const std::size_t panel = task % groups * width;
    const std::size_t count = std::min(width, panels - panel);
    const std::size_t columns = count * panel_rows;
    const std::size_t first = task / groups * step;
    const std::size_t last = std::min(rows, first + step);
    gates.multiply(context, thread, gate_panel + panel, count, first, last, {gate, stride, columns, nullptr, nullptr});
    ups.multiply(context, thread, up_panel + panel, count, first, last, {up, stride, columns, nullptr, nullptr});
    for (std::size_t row = first; row < last; row++) {
      gate_row(context, activation, gate + (row - first) * stride, up + (row - first) * stride, columns, out + row * half + panel * panel_rows);
    }
  });
}

}  // namespace

void linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, bool apart, const float* bias,
            const float* residual, float* out) {
  if (rows == 0 || weight.rows() == 0) return;
  const Call call{weight, rows, bias, residual, out};
  const bool many = !apart && rows >= pair_rows;
  Prepared prepared(context, x, rows, weight.columns());
  const auto sections = weight.sections();
  const bool alike = std::all_of(sections.begin(), sections.end(), [&](const PanelSection& section) {
    return path_of(section, compute, context.kernels().products, many) == Path::codes && same_extras(section.format, sections[0].format);
  });
  if (rows <= few_rows && alike) {
    const std::int32_t* extras = prepared.prepare(sections[0], Path::codes);
    QuantizedRows quantized = prepared.activations().codes;
    quantized.extras = extras;
    return multiply_sections(context, sections, quantized, call);
  }
  for (const PanelSection& section : sections) {
    const Path path = path_of(section, compute, context.kernels().products, many);
    const std::int32_t* extras = prepared.prepare(section, path);
    multiply_section(context, section, path, prepared.activations(), extras, call);
  }
}

void gated_linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, bool apart, const float* bias,
                  Activation activation, float* out) {
  const std::size_t half = weight.rows() / 2;
  if (rows == 0 || half == 0) return;
  const Half gate = half_at(weight, 0, half);
  const Half up = half_at(weight, half, half);
  if (rows > few_rows && bias == nullptr && half % panel_rows == 0 && gate.section != nullptr && up.section != nullptr) {
    const bool many = !apart && rows >= pair_rows;
    const Path path = path_of(*gate.section, compute, context.kernels().products, many);
    const bool alike = path == path_of(*up.section, compute, context.kernels().products, many);
    if (alike && (path != Path::codes || same_extras(gate.section->format, up.section->format))) {
      Prepared prepared(context, x, rows, weight.columns());
      const std::int32_t* extras = prepared.prepare(*gate.section, path);
      const Products gates{*gate.section, path, prepared.activations(), extras};
      const Products ups{*up.section, path, prepared.activations(), extras};
      return multiply_gated(context, gates, gate.panel, ups, up.panel, half, rows, activation, out);
    }
  }
  auto* both = static_cast<float*>(context.shared_scratch(5, rows * weight.rows() * sizeof(float)));
  linear(context, compute, weight, x, rows, apart, bias, nullptr, both);
  gated(context, both, rows, half, activation, out);
}

std::size_t panel_columns(const Context& context) { return context.kernels().products.block_panels * panel_rows; }

void multiply_panels(const Context& context, const float* b, std::size_t panel_stride, std::size_t columns, std::size_t depth, const float* x,
                     std::size_t x_stride, std::size_t rows, bool add, float* out, std::size_t out_stride) {
  const ProductTarget target{out, out_stride, columns, nullptr, nullptr};
  context.kernels().products.value_tile(b, panel_stride, (columns + panel_rows - 1) / panel_rows, depth, x, x_stride, rows, !add, target);
}

}  // namespace kvsift

#include "kvsift/linear.h"

#include <algorithm>

#include "section_products.h"

namespace kvsift {

namespace {

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
  const SectionProducts products{section, path, x, extras};
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

}  // namespace

void multiply(Context& context, Compute compute, const PackedWeight& weight, Prepared& prepared, std::size_t rows, bool apart, const float* bias,
              const float* residual, float* out) {
  const Call call{weight, rows, bias, residual, out};
  const bool many = !apart && rows >= pair_rows;
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

void linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, bool apart, const float* bias,
            const float* residual, float* out) {
  if (rows == 0 || weight.rows() == 0) return;
  Prepared prepared(context, x, rows, weight.columns());
  multiply(context, compute, weight, prepared, rows, apart, bias, residual, out);
}

std::size_t panel_columns(const Context& context) { return context.kernels().products.block_panels * panel_rows; }

void multiply_panels(const Context& context, const float* b, std::size_t panel_stride, std::size_t columns, std::size_t depth, const float* x,
                     std::size_t x_stride, std::size_t rows, bool add, float* out, std::size_t out_stride) {
  const ProductTarget target{out, out_stride, columns, nullptr, nullptr};
  context.kernels().products.value_tile(b, panel_stride, (columns + panel_rows - 1) / panel_rows, depth, x, x_stride, rows, !add, target);
}

}  // namespace kvsift

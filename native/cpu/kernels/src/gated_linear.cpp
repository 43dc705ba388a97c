#include <algorithm>

#include "kvsift/linear.h"
#include "section_products.h"

namespace kvsift {

namespace {

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
void multiply_halves(Context& context, const SectionProducts& gates, std::size_t gate_panel, const SectionProducts& ups, std::size_t up_panel, std::size_t half,
                    std::size_t rows, Activation activation, const GatedRows& out) {
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
      float* own = gate + (row - first) * stride;
      const std::size_t column = panel * panel_rows;
      gate_row(context, activation, own, up + (row - first) * stride, columns, out.halves != nullptr ? own : out.floats + row * half + column);
      if (out.halves != nullptr) context.kernels().rows.to_bf16(own, columns, out.halves + row * out.stride + column);
    }
  });
}

}  // namespace

bool multiply_gated(Context& context, Compute compute, const PackedWeight& weight, Prepared& prepared, std::size_t rows, bool apart, const float* bias,
                    Activation activation, const GatedRows& out) {
  const std::size_t half = weight.rows() / 2;
  const Half gate = half_at(weight, 0, half);
  const Half up = half_at(weight, half, half);
  if (rows <= few_rows || bias != nullptr || half % panel_rows != 0 || gate.section == nullptr || up.section == nullptr) return false;
  const bool many = !apart && rows >= pair_rows;
  const Path path = path_of(*gate.section, compute, context.kernels().products, many);
  if (path_of(*up.section, compute, context.kernels().products, many) != path) return false;
  if (path == Path::codes && !same_extras(gate.section->format, up.section->format)) return false;
  const std::int32_t* extras = prepared.prepare(*gate.section, path);
  const SectionProducts gates{*gate.section, path, prepared.activations(), extras};
  const SectionProducts ups{*up.section, path, prepared.activations(), extras};
  multiply_halves(context, gates, gate.panel, ups, up.panel, half, rows, activation, out);
  return true;
}

void gated_linear(Context& context, Compute compute, const PackedWeight& weight, const float* x, std::size_t rows, bool apart, const float* bias,
                  Activation activation, float* out) {
  const std::size_t half = weight.rows() / 2;
  if (rows == 0 || half == 0) return;
  Prepared prepared(context, x, rows, weight.columns());
  if (multiply_gated(context, compute, weight, prepared, rows, apart, bias, activation, {out, nullptr, 0})) return;
  auto* both = static_cast<float*>(context.shared_scratch(5, rows * weight.rows() * sizeof(float)));
  multiply(context, compute, weight, prepared, rows, apart, bias, nullptr, both);
  gated(context, both, rows, half, activation, out);
}

}  // namespace kvsift

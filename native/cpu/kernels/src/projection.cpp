#include <algorithm>
#include <cmath>

#include "kvsift/activations.h"
#include "kvsift/linear.h"
#include "section_products.h"

namespace kvsift {

namespace {

/** Values of one task: so many that bringing the weights into their form is paid for. */
constexpr std::size_t task_rows = 1024;
/** Values and panels whose products are there at a time: they stay in the first-level cache. */
constexpr std::size_t step_rows = 32;
constexpr std::size_t most_panels = 8;

struct Call {
  Context& context;
  const PackedWeight& weight;
  const HeadValues& values;
  const std::uint16_t* halves;  // of the values, rows `half_stride` apart; null where products are in f32
  std::size_t half_stride;
  std::size_t heads;
  bool squares;

  const ProductKernels& kernels() const { return context.kernels().products; }
  std::size_t depth_stride() const { return (values.head_dim + 8) * panel_rows; }
  std::size_t panels() const { return halves != nullptr ? most_panels : std::min(most_panels, kernels().block_panels); }
};

/** Where a task keeps what it works with. */
struct Room {
  Room(const Call& call, std::size_t thread) {
    const std::size_t panels = call.panels();
    const std::size_t depth = call.values.head_dim;
    const std::size_t floats = panels * call.depth_stride() + step_rows * panels * panel_rows + task_rows;
    const std::size_t pair_bytes = panels * (depth + 1) / 2 * panel_rows * 4;
    weights = static_cast<float*>(call.context.thread_scratch(thread, floats * sizeof(float) + pair_bytes + depth * sizeof(const std::byte*)));
    products = weights + panels * call.depth_stride();
    sums = products + step_rows * panels * panel_rows;
    pairs = reinterpret_cast<std::byte*>(sums + task_rows);
    rows = reinterpret_cast<const std::byte**>(pairs + pair_bytes);
  }

  float* weights;          // [panels][depth_stride]: the head's columns, [head_dim][16], and what it takes to begin at a multiple of 4
  float* products;         // [step_rows][panels · 16]
  float* sums;             // [task_rows]
  std::byte* pairs;        // [panels][⌈head_dim / 2⌉][16][2]
  const std::byte** rows;  // [head_dim]
};

/** The columns of a head in `count` panels from `panel` on, in the form of the products. */
void unpack(const Call& call, const Room& room, const PanelSection& section, std::size_t panel, std::size_t count, std::size_t head) {
  const std::size_t depth = call.values.head_dim;
  const std::size_t first = head * depth / 4 * 4;
  const std::size_t last = std::min(section.columns, ((head + 1) * depth + 3) / 4 * 4);
  for (std::size_t p = 0; p < count; p++) {
    float* to = room.weights + p * call.depth_stride();
    call.kernels().unpack_values(section, section.panel(panel + p), first, last, to);
    if (call.halves == nullptr) continue;
    to += (head * depth - first) * panel_rows;
    for (std::size_t k = 0; k < depth; k++) room.rows[k] = reinterpret_cast<const std::byte*>(to + k * panel_rows);
    const std::size_t padded = (depth + 1) / 2 * 2;
    call.context.kernels().attention.pack_values(DType::f32, room.rows, depth, padded, panel_rows, true, room.pairs + p * padded * panel_rows * 2);
  }
}

/** Adds what the outputs of some panels contribute to the sums of values [first, last) of a query head. */
void add_panels(const Call& call, const Room& room, std::size_t count, std::size_t columns, std::size_t head, std::size_t first, std::size_t last) {
  const auto& [data, kv_heads, entries, depth] = call.values;
  const auto sum = call.squares ? call.context.kernels().rows.square_sum : call.context.kernels().rows.absolute_sum;
  const std::size_t stride = call.panels() * panel_rows;
  const ProductTarget target{room.products, stride, columns, nullptr, nullptr};
  std::size_t row = first;
  const std::size_t pairs = (depth + 1) / 2;
  if (call.halves != nullptr && call.kernels().pair_sizes != nullptr && columns == count * panel_rows && count % 2 == 0 && depth % 32 == 0 && depth <= 128) {
    const std::size_t whole = (last - first) / 16 * 16;
    const std::size_t value = head / (call.heads / kv_heads) * entries + row;
    call.kernels().pair_sizes(room.pairs, pairs * panel_rows * 4, count, depth / 32, call.halves + value * call.half_stride, call.half_stride, whole,
                              call.squares, room.sums);
    row += whole;
  }
  for (; row < last; row += step_rows) {
    const std::size_t rows = std::min(step_rows, last - row);
    const std::size_t value = head / (call.heads / kv_heads) * entries + row;
    if (call.halves != nullptr) {
      call.kernels().pair_tile(room.pairs, pairs * panel_rows * 4, count, pairs, call.halves + value * call.half_stride, call.half_stride, rows, target);
    } else {
      const float* weights = room.weights + head * depth % 4 * panel_rows;
      call.kernels().value_tile(weights, call.depth_stride(), count, depth, data + value * depth, depth, rows, true, target);
    }
    for (std::size_t i = 0; i < rows; i++) room.sums[row - first + i] += sum(room.products + i * stride, columns);
  }
}

}  // namespace

void projected_norms(Context& context, Compute compute, const PackedWeight& weight, const HeadValues& values, Norm norm, float* out) {
  const auto [data, kv_heads, entries, depth] = values;
  if (entries == 0) return;
  const bool pairs = rounds_activations(context, compute);
  Prepared prepared(context, data, kv_heads * entries, depth);
  if (pairs) prepared.prepare(weight.sections()[0], Path::pairs);
  const Call call{context, weight, values, prepared.activations().halves, prepared.activations().half_stride, weight.columns() / depth, norm == Norm::l2};
  const std::size_t blocks = (entries + task_rows - 1) / task_rows;
  context.parallel_for(call.heads * blocks, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t head = task / blocks;
    const std::size_t first = task % blocks * task_rows;
    const std::size_t last = std::min(entries, first + task_rows);
    const Room room(call, thread);
    const PairScope scope(call.kernels(), pairs);
    std::fill_n(room.sums, last - first, 0.0F);
    for (const PanelSection& section : weight.sections()) {
      for (std::size_t panel = 0; panel < section.panels; panel += call.panels()) {
        const std::size_t count = std::min(call.panels(), section.panels - panel);
        unpack(call, room, section, panel, count, head);
        add_panels(call, room, count, std::min(section.rows - panel * panel_rows, count * panel_rows), head, first, last);
      }
    }
    for (std::size_t row = first; row < last; row++) {
      const float sum = room.sums[row - first];
      out[head * entries + row] = call.squares ? std::sqrt(sum) : sum;
    }
  });
}

}  // namespace kvsift

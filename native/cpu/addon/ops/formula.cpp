#include "ops/formula.h"

#include <algorithm>
#include <array>

#include "ops/elementwise.h"

namespace kvsift::ops {

namespace {

constexpr std::size_t tile = 1024;        // elements of one step at a time: a few steps stay in the first-level cache
constexpr std::size_t unit_room = 4096;   // elements that one task makes
constexpr std::size_t strip_room = 16384; // the same where columns are reduced, all rows at once
constexpr std::size_t most_room = std::size_t{1} << 20;  // what a thread may take for it: more than that is made as a whole, where a lack of memory can be told
constexpr std::size_t grain = 16384;      // elements below which one thread does it

/** Rows and columns of matrices that lie side by side, the last two axes. */
struct Extent {
  std::size_t matrices;
  std::size_t rows;
  std::size_t columns;
};

/** How to go through one tensor. */
struct Source {
  const float* x;
  Shape steps;
  std::size_t row_step;
  std::size_t step;
};

/** A part of one matrix. */
struct Part {
  std::size_t matrix;
  std::size_t row;
  std::size_t rows;
  std::size_t column;
  std::size_t columns;
};

class Plan {
 public:
  Plan(Context& context, const Formula& formula, const std::vector<const float*>& tensors, Along along) : context_(context), formula_(formula) {
    const Shape& whole = formula.whole;
    const std::size_t rank = whole.rank();
    flat_ = along == Along::nothing && std::all_of(formula.tensors.begin(), formula.tensors.end(), [&](const Shape& shape) { return shape == whole || shape.count() == 1; });
    const std::size_t columns = rank < 1 ? 1 : whole[rank - 1];
    const std::size_t rows = rank < 2 ? 1 : whole[rank - 2];
    extent_ = flat_ ? Extent{1, 1, whole.count()} : Extent{whole.product(0, rank < 2 ? 0 : rank - 2), rows, columns};
    for (std::size_t at = 0; at < tensors.size(); at++) {
      const Shape steps = broadcast_steps(formula.tensors[at], whole);
      if (flat_) sources_.push_back({tensors[at], {}, 0, formula.tensors[at].count() == 1 && whole.count() != 1 ? std::size_t{0} : std::size_t{1}});
      else sources_.push_back({tensors[at], steps, rank < 2 ? 0 : steps[rank - 2], rank < 1 ? 0 : steps[rank - 1]});
    }
    place_steps();
  }

  const Extent& extent() const { return extent_; }
  std::size_t room() const { return slot_count_ * tile; }

  /** The part's rows, one behind the other. */
  void make(const Part& part, float* room, float* out) const {
    std::array<std::size_t, most_operands> starts;
    for (std::size_t at = 0; at < sources_.size(); at++) starts[at] = start_of(sources_[at], part);
    const std::size_t wide = std::min(part.columns, tile);
    const std::size_t high = part.columns > tile ? 1 : std::max<std::size_t>(1, tile / std::max<std::size_t>(part.columns, 1));
    for (std::size_t row = 0; row < part.rows; row += high) {
      for (std::size_t column = 0; column < part.columns; column += wide) {
        make_tile(starts, row, std::min(high, part.rows - row), column, std::min(wide, part.columns - column), room, out + row * part.columns + column);
      }
    }
  }

 private:
  /** Each result but the last lies in a slot until its last reader has run. */
  void place_steps() {
    const std::size_t first = formula_.tensors.size();
    std::vector<std::size_t> last_use(formula_.steps.size(), 0);
    const auto use = [&](std::size_t operand, std::size_t step) {
      if (operand >= first) last_use[operand - first] = step;
    };
    for (std::size_t step = 0; step < formula_.steps.size(); step++) {
      use(formula_.steps[step].a, step);
      if (formula_.steps[step].b) use(*formula_.steps[step].b, step);
    }
    std::vector<std::size_t> busy_until;
    for (std::size_t step = 0; step + 1 < formula_.steps.size(); step++) {
      // In place is fine: each element is read before it is written.
      const auto found = std::find_if(busy_until.begin(), busy_until.end(), [&](std::size_t until) { return until <= step; });
      slots_.push_back(static_cast<std::size_t>(found - busy_until.begin()));
      if (found == busy_until.end()) busy_until.push_back(last_use[step]);
      else *found = last_use[step];
    }
    slot_count_ = busy_until.size();
  }

  std::size_t start_of(const Source& source, const Part& part) const {
    std::size_t start = part.row * source.row_step + part.column * source.step;
    std::size_t rest = part.matrix;
    if (flat_) return start;
    for (std::size_t axis = formula_.whole.rank() < 2 ? 0 : formula_.whole.rank() - 2; axis-- > 0;) {
      start += rest % formula_.whole[axis] * source.steps[axis];
      rest /= formula_.whole[axis];
    }
    return start;
  }

  void make_tile(const std::array<std::size_t, most_operands>& starts, std::size_t row, std::size_t rows, std::size_t column, std::size_t columns, float* room,
                 float* out) const {
    std::array<ZipSide, 2 * most_operands> operands;
    std::size_t known = 0;
    for (; known < sources_.size(); known++) {
      const Source& source = sources_[known];
      operands[known] = {source.x + starts[known] + row * source.row_step + column * source.step, source.step, source.row_step};
    }
    for (std::size_t at = 0; at < formula_.steps.size(); at++) {
      const FormulaStep& step = formula_.steps[at];
      float* to = at < slots_.size() ? room + slots_[at] * tile : out;
      if (step.unary) map_side(step.map, operands[step.a], rows, columns, to);
      else zip_rows(context_, step.zip, operands[step.a], step.b ? operands[*step.b] : ZipSide{&step.number, 0, 0}, rows, columns, to);
      operands[known++] = {to, 1, columns};
    }
  }

  void map_side(UnaryOp op, const ZipSide& x, std::size_t rows, std::size_t columns, float* out) const {
    if (x.step == 1 && (x.row_step == columns || rows == 1)) return map_row(context_, op, x.x, rows * columns, out);
    for (std::size_t row = 0; row < rows; row++) {
      const float* from = x.x + row * x.row_step;
      if (x.step == 1) {
        map_row(context_, op, from, columns, out + row * columns);
      } else {
        float value = 0;
        map_row(context_, op, from, 1, &value);
        std::fill_n(out + row * columns, columns, value);
      }
    }
  }

  Context& context_;
  const Formula& formula_;
  bool flat_ = false;
  Extent extent_{};
  std::vector<Source> sources_;
  std::vector<std::size_t> slots_;
  std::size_t slot_count_ = 0;
};

std::size_t pieces(std::size_t count, std::size_t size) { return (count + size - 1) / size; }

/** Rows and columns of one task, at least 1: some rows whole, a piece of one row, or all rows of some columns. */
struct Tiling {
  std::size_t rows;
  std::size_t columns;
};

Tiling tiling_of(const Extent& extent, Along along) {
  const std::size_t rows = std::max<std::size_t>(1, extent.rows);
  const std::size_t columns = std::max<std::size_t>(1, extent.columns);
  if (along == Along::rows) return {rows, std::max<std::size_t>(16, strip_room / rows / 16 * 16)};
  if (along == Along::nothing && columns > unit_room) return {1, unit_room};
  return {std::max<std::size_t>(1, unit_room / columns), columns};
}

}  // namespace

void evaluate(Context& context, const Formula& formula, const std::vector<const float*>& tensors, Along along, ReduceOp op, float* out) {
  const Plan plan(context, formula, tensors, along);
  const auto [matrices, rows, columns] = plan.extent();
  const auto [high, wide] = tiling_of(plan.extent(), along);
  if (along != Along::nothing && high * wide > most_room) {
    auto* all = static_cast<float*>(context.shared_scratch(0, matrices * rows * columns * sizeof(float)));
    evaluate(context, formula, tensors, Along::nothing, op, all);
    if (along == Along::columns) return reduce(context, op, all, matrices * rows, columns, 1, out);
    return reduce(context, op, all, matrices, rows, columns, out);
  }
  // What is reduced is reduced in any case, and be it nothing.
  const std::size_t down = along == Along::rows ? 1 : pieces(rows, high);
  const std::size_t across = along == Along::columns ? 1 : pieces(columns, wide);
  const std::size_t made = along == Along::nothing ? 0 : high * wide;
  context.parallel_for(matrices * down * across, grain / (high * wide) + 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* room = static_cast<float*>(context.thread_scratch(thread, (plan.room() + made) * sizeof(float)));
    float* values = room + plan.room();
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t row = task / across % down * high;
      const std::size_t column = task % across * wide;
      const Part part{task / across / down, row, std::min(high, rows - row), column, std::min(wide, columns - column)};
      if (along == Along::nothing) {
        plan.make(part, room, out + (part.matrix * rows + row) * columns + column);
        continue;
      }
      plan.make(part, room, values);
      if (along == Along::columns) reduce_rows(context, op, values, part.rows, columns, out + part.matrix * rows + row);
      else if (columns == 1) reduce_rows(context, op, values, 1, rows, out + part.matrix);
      else reduce_columns(context, op, values, rows, part.columns, part.columns, out + part.matrix * columns + column);
    }
  });
}

}  // namespace kvsift::ops

#include "ops/covariance.h"

#include <algorithm>

#include "kvsift/activations.h"
#include "kvsift/elementwise.h"
#include "kvsift/linear.h"
#include "ops/layout.h"

namespace kvsift::ops {

namespace {

/** Parts of the rows, each a task: enough for many threads, few enough that their sums take little memory. */
constexpr std::size_t most_parts = 8;
/** Rows, evenly spread, whose mean is taken away from all: near enough to the mean of all that little is lost by rounding. */
constexpr std::size_t centre_rows = 64;
constexpr std::size_t panel = 16;

struct Rows {
  const float* x;
  std::size_t count;
  std::size_t heads;
  std::size_t dim;

  std::size_t columns() const { return heads * dim; }
  /** Rows that are taken through a thread's memory together: they stay in the second-level cache. */
  std::size_t step() const { return std::clamp<std::size_t>(131072 / columns() / 32 * 32, 64, 512); }
};

/** What a thread works with. */
struct Room {
  explicit Room(const Rows& rows, float* memory)
      : centred(memory), turned(centred + rows.step() * rows.columns()), panels(turned + rows.step() * rows.dim), sums(panels + rows.step() * panel) {}
  static std::size_t floats(const Rows& rows) { return rows.step() * (rows.columns() + rows.dim + panel) + rows.columns(); }

  float* centred;  // [step, columns]
  float* turned;   // [dim, step] of one head
  float* panels;   // [step, 16]
  float* sums;     // [columns]
};

/** Σ of the rows less the centre, and of their products with themselves, of one part. */
struct Part {
  double* sums;     // [columns]
  float* products;  // [heads, dim, dim]
};

/** products [dim, dim] = or += those of one head of the rows in `room`. */
void multiply_head(Context& context, const Rows& rows, std::size_t count, std::size_t head, const Room& room, bool add,
                   float* products) {
  const std::size_t dim = rows.dim;
  const float* own = room.centred + head * dim;
  transpose_matrix(own, rows.columns(), count, dim, room.turned);
  for (std::size_t first = 0; first < dim; first += panel) {
    const std::size_t width = std::min(panel, dim - first);
    for (std::size_t row = 0; row < count; row++) {
      std::fill_n(std::copy_n(own + row * rows.columns() + first, width, room.panels + row * panel), panel - width, 0.0F);
    }
    multiply_panels(context, room.panels, count * panel, width, count, room.turned, count, dim, add, products + first, dim);
  }
}

/** What `add_moments_rounded` does, in f32. */
void add_moments(Context& context, const Rows& rows, const float* x, std::size_t count, const float* centre, const Room& room, bool add, float* products) {
  const std::size_t columns = rows.columns();
  for (std::size_t row = 0; row < count; row++) {
    float* to = room.centred + row * columns;
    zip_row(context, BinaryOp::sub, x + row * columns, 1, centre, 1, columns, to);
    zip_row(context, BinaryOp::add, room.sums, 1, to, 1, columns, room.sums);
  }
  for (std::size_t head = 0; head < rows.heads; head++) multiply_head(context, rows, count, head, room, add, products + head * rows.dim * rows.dim);
}

void add_part(Context& context, std::size_t thread, bool rounded, const Rows& rows, std::size_t begin, std::size_t end, const float* centre, const Room& room,
              const Part& part) {
  const std::size_t columns = rows.columns();
  std::fill_n(part.sums, columns, 0.0);
  for (std::size_t first = begin; first < end; first += rows.step()) {
    const std::size_t count = std::min(rows.step(), end - first);
    std::fill_n(room.sums, columns, 0.0F);
    const float* x = rows.x + first * columns;
    if (rounded) add_moments_rounded(context, thread, {x, columns, count, rows.heads, rows.dim, centre}, first > begin, room.sums, part.products);
    else add_moments(context, rows, x, count, centre, room, first > begin, part.products);
    for (std::size_t c = 0; c < columns; c++) part.sums[c] += static_cast<double>(room.sums[c]);
  }
}

}  // namespace

void covariance(Context& context, Compute compute, const float* x, std::size_t count, std::size_t heads, std::size_t head_dim, float* mean, float* out) {
  const Rows rows{x, count, heads, head_dim};
  const std::size_t columns = rows.columns();
  const std::size_t square = head_dim * head_dim;
  const std::size_t step = std::max((count + most_parts - 1) / most_parts, rows.step());
  const std::size_t parts = (count + step - 1) / step;
  auto* sums = static_cast<double*>(context.shared_scratch(0, parts * columns * sizeof(double)));
  auto* products = static_cast<float*>(context.shared_scratch(1, (parts * heads * square + columns) * sizeof(float)));
  auto* memory = static_cast<float*>(context.shared_scratch(2, context.threads() * Room::floats(rows) * sizeof(float)));
  float* centre = products + parts * heads * square;
  const std::size_t near = std::min(count, centre_rows);
  std::copy_n(x, columns, centre);
  for (std::size_t row = 1; row < near; row++) zip_row(context, BinaryOp::add, centre, 1, x + row * count / near * columns, 1, columns, centre);
  for (std::size_t c = 0; c < columns; c++) centre[c] /= static_cast<float>(near);

  const bool rounded = rounds_activations(context, compute);
  context.parallel_for(parts, 1, [&](std::size_t part, std::size_t, std::size_t thread) {
    const Room room(rows, memory + thread * Room::floats(rows));
    add_part(context, thread, rounded, rows, part * step, std::min(count, (part + 1) * step), centre, room,
             {sums + part * columns, products + part * heads * square});
  });

  // Σ (x − c)(x − c)ᵀ / n − (m − c)(m − c)ᵀ
  const auto number = static_cast<double>(count);
  for (std::size_t c = 0; c < columns; c++) {
    for (std::size_t part = 1; part < parts; part++) sums[c] += sums[part * columns + c];
    sums[c] /= number;
    mean[c] = static_cast<float>(static_cast<double>(centre[c]) + sums[c]);
  }
  context.parallel_for(columns, 64, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; row++) {
      const double* shift = sums + row / head_dim * head_dim;
      // Some columns of all parts at a time: their sums stay in registers.
      constexpr std::size_t some = 16;
      for (std::size_t first = 0; first < head_dim; first += some) {
        const std::size_t width = std::min(some, head_dim - first);
        const float* from = products + row * head_dim + first;
        double together[some] = {};
        for (std::size_t part = 0; part < parts; part++, from += heads * square) {
          for (std::size_t c = 0; c < width; c++) together[c] += static_cast<double>(from[c]);
        }
        for (std::size_t c = 0; c < width; c++) out[row * head_dim + first + c] = static_cast<float>(together[c] / number - sums[row] * shift[first + c]);
      }
    }
  });
}

}  // namespace kvsift::ops

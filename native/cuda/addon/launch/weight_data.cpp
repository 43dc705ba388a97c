#include "launch/weight.h"

#include <algorithm>

#include "runtime/device_scratch.h"

namespace kvsift {

namespace {

kvsift_cuda_weight device_weight(const WeightSource& source) {
  return {static_cast<kvsift_cuda_dtype>(source.type), source.data, source.rows, source.columns, source.computed ? 1 : 0};
}

}  // namespace

void dequantize(Context& context, std::span<const WeightSource> sources, float* out) {
  for (const WeightSource& source : sources) {
    const kvsift_cuda_weight weight = device_weight(source);
    context.run(kvsift_cuda_dequantize(context.kernels(), context.stream(), &weight, out));
    out += source.rows * source.columns;
  }
}

std::ptrdiff_t embedding(Context& context, std::span<const WeightSource> table, const std::int32_t* ids, std::size_t count, float scale, float* out) {
  context.watch();
  const auto look_up = [&](const kvsift_cuda_weight& rows) {
    context.run(kvsift_cuda_embedding(context.kernels(), context.stream(), &rows, ids, count, scale, out));
  };
  if (table.size() == 1) {
    look_up(device_weight(table[0]));
    return -1;
  }
  // A table of several types, which no model has: widened as a whole.
  std::size_t rows = 0;
  for (const WeightSource& source : table) rows += source.rows;
  const DeviceScratch values(context, rows * table[0].columns * sizeof(float));
  dequantize(context, table, values.floats());
  look_up({KVSIFT_CUDA_F32, values.data(), rows, table[0].columns, 1});
  return -1;
}

namespace launch {

namespace {

/** Rows up to which products are exact: straight from the stored format, in f32. */
constexpr std::size_t exact_rows = 8;

void multiply(Context& context, Compute compute, const WeightSource& source, const float* x, std::size_t rows, const float* bias, const float* residual,
              float* out) {
  const kvsift_cuda_weight weight = device_weight(source);
  const std::size_t step = compute == Compute::f32 ? exact_rows : rows;
  for (std::size_t first = 0; first < rows; first += step) {
    const std::size_t at = first * source.rows;
    context.run(kvsift_cuda_linear(context.kernels(), context.stream(), &weight, x + first * source.columns, std::min(step, rows - first), bias,
                                   residual != nullptr ? residual + at : nullptr, out + at));
  }
}

/** Products with each of several sources, side by side in `out` [rows, all]. */
void side_by_side(Context& context, Compute compute, std::span<const WeightSource> sources, const float* x, std::size_t rows, const float* bias, float* out, std::size_t all) {
  std::size_t first = 0;
  for (const WeightSource& source : sources) {
    const float* own_bias = bias != nullptr ? bias + first : nullptr;
    if (rows == 1) {
      multiply(context, compute, source, x, rows, own_bias, nullptr, out + first);
    } else {
      const std::size_t bytes = source.rows * sizeof(float);
      const DeviceScratch part(context, rows * bytes);
      multiply(context, compute, source, x, rows, own_bias, nullptr, part.floats());
      context.run(kvsift_cuda_copy_pieces(context.kernels(), context.stream(), part.data(), bytes, out + first, all * sizeof(float), bytes, rows));
    }
    first += source.rows;
  }
}

}  // namespace

void settle(Context& context, Weight& weight, Compute) {
  weight.packed = std::make_unique<PackedWeight>(weight.memory);
  std::vector<WeightSource> settled;
  const std::vector<WeightSource>& sources = weight.sources;
  for (std::size_t first = 0, next = 0; first < sources.size(); first = next) {
    // Neighbours of one type become one matrix.
    WeightSource whole = sources[first];
    whole.rows = 0;
    whole.row_order = nullptr;
    for (; next < sources.size() && sources[next].type == whole.type; next++) whole.rows += sources[next].rows;
    const std::size_t step = row_bytes(whole.type, whole.columns);
    const std::size_t bytes = whole.rows * step;
    weight.memory->add(bytes, true);
    weight.counted += bytes;
    auto* to = static_cast<std::byte*>(weight.packed->take(bytes));
    whole.data = to;
    for (std::size_t i = first; i < next; i++) {
      context.uploads().upload(sources[i], step, to);
      to += sources[i].rows * step;
    }
    settled.push_back(whole);
  }
  weight.sources = std::move(settled);
}

void settle_vector(Context& context, const WeightSource& rows, float* to) {
  const std::size_t values = rows.rows * rows.columns;
  const std::size_t step = row_bytes(rows.type, rows.columns);
  if (rows.type == DType::f32) return context.uploads().upload(rows, step, to);
  const DeviceScratch stored(context, rows.rows * step);
  context.uploads().upload(rows, step, stored.data());
  WeightSource whole = rows;
  whole.data = stored.data();
  whole.rows = 1;
  whole.columns = values;
  whole.row_order = nullptr;
  dequantize(context, std::span(&whole, 1), to);
}

bool takes_products(const Tensor& weight) { return weight.shape[1] > 0; }

void product(Context& context, Compute compute, const Tensor& weight, const float* x, std::size_t rows, bool, const float* bias, const float* residual, float* out) {
  WeightSource room;
  room.computed = !context.steady(weight.storage->written);
  const auto sources = matrix_sources(weight, room);
  if (sources.size() == 1) return multiply(context, compute, sources[0], x, rows, bias, residual, out);
  const std::size_t all = weight.shape[0];
  if (residual == nullptr) return side_by_side(context, compute, sources, x, rows, bias, out, all);
  const DeviceScratch sums(context, rows * all * sizeof(float));
  side_by_side(context, compute, sources, x, rows, bias, sums.floats(), all);
  const std::size_t shape[4] = {1, 1, 1, rows * all};
  const std::size_t steps[4] = {0, 0, 0, 1};
  context.run(kvsift_cuda_zip(context.kernels(), context.stream(), KVSIFT_CUDA_ADD, sums.floats(), steps, residual, steps, shape, out));
}

}  // namespace launch
}  // namespace kvsift

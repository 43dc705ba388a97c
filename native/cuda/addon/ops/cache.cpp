// The cache ops of native/cpu/kernels on the kernels of the device.
#include "kvsift/attention.h"
#include "kvsift/context.h"
#include "kvsift/kv.h"
#include "ops/elementwise.h"
#include "runtime/device_scratch.h"

namespace kvsift {

namespace {

kvsift_cuda_attention_shape device_shape(const AttentionShape& shape) { return {shape.query_heads, shape.scale, shape.softcap, shape.window}; }

kvsift_cuda_column_arguments device_arguments(const ColumnArguments& arguments) {
  kvsift_cuda_column_arguments out{};
  out.shape = device_shape(arguments.shape);
  out.mask = arguments.mask == ColumnMask::causal ? KVSIFT_CUDA_MASK_CAUSAL : KVSIFT_CUDA_MASK_NONE;
  out.behind = arguments.behind;
  out.positions = arguments.positions;
  out.log_sum_exp = arguments.log_sum_exp;
  return out;
}

kvsift_cuda_kv_part device_part(KvPart part) { return part == KvPart::keys ? KVSIFT_CUDA_KEYS : KVSIFT_CUDA_VALUES; }

}  // namespace

void kv_append(Context& context, std::span<const KvSegment> segments, const float* k, const float* v, const std::int32_t* positions) {
  context.watch();
  context.run(kvsift_cuda_kv_append(context.kernels(), context.stream(), segments.data(), segments.size(), k, v, positions));
}

void kv_read(Context& context, const KvView& view, KvPart part, std::size_t first, std::size_t n, float* out) {
  context.watch();
  context.run(kvsift_cuda_kv_read(context.kernels(), context.stream(), &view, device_part(part), first, n, out));
}

void kv_replace(Context& context, const KvView& view, KvPart part, std::size_t n, const float* x) {
  context.watch();
  context.run(kvsift_cuda_kv_replace(context.kernels(), context.stream(), &view, device_part(part), n, x));
}

void attention(Context& context, Compute compute, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape, const std::int32_t* positions,
               float* out, float* log_sum_exp) {
  const kvsift_cuda_attention_shape own_shape = device_shape(shape);
  context.watch();
  if (compute == Compute::f32) {
    // The split-entry kernel takes any number of rows and computes in f32.
    context.run(kvsift_cuda_attention_decode(context.kernels(), context.stream(), segments.data(), segments.size(), q, &own_shape, positions, out,
                                             log_sum_exp, nullptr, 0));
    return;
  }
  context.run(kvsift_cuda_attention(context.kernels(), context.stream(), segments.data(), segments.size(), q, &own_shape, positions, out, log_sum_exp));
}

void attention_columns(Context& context, Compute compute, const float* q, std::size_t rows, const KvView& view, std::size_t n, ColumnStatistic statistic,
                       const ColumnArguments& arguments, float* out) {
  kvsift_cuda_column_arguments own_arguments = device_arguments(arguments);
  own_arguments.exact = compute == Compute::f32 ? 1 : 0;
  context.watch();
  context.run(kvsift_cuda_attention_columns(context.kernels(), context.stream(), q, rows, &view, n,
                                            statistic == ColumnStatistic::sum ? KVSIFT_CUDA_COLUMN_SUM : KVSIFT_CUDA_COLUMN_MAX, &own_arguments, out));
}

void attention_with_columns(Context& context, Compute compute, const KvView& view, std::size_t rows, const float* q, const AttentionShape& shape,
                            const std::int32_t* positions, float* out, float* log_sum_exp, std::size_t n, float* columns, std::size_t column_stride) {
  const KvSegment segment{view, rows};
  attention(context, compute, std::span(&segment, 1), q, shape, positions, out, log_sum_exp);
  // A second sweep, from the log-sum-exp.
  ColumnArguments arguments;
  arguments.shape = shape;
  arguments.positions = positions;
  arguments.log_sum_exp = log_sum_exp;
  const std::size_t heads = shape.query_heads;
  const DeviceScratch own(context, 2 * heads * n * sizeof(float));
  float* sums = own.floats();
  float* added = sums + heads * n;
  attention_columns(context, compute, q, rows, view, n, ColumnStatistic::sum, arguments, sums);
  const std::size_t sizes[4] = {1, 1, heads, n};
  const std::size_t before[4] = {0, 0, column_stride, 1};
  const std::size_t steps[4] = {0, 0, n, 1};
  context.run(kvsift_cuda_zip(context.kernels(), context.stream(), static_cast<kvsift_cuda_binary_op>(ops::BinaryOp::add), columns, before, sums, steps, sizes,
                              added));
  context.run(kvsift_cuda_copy_pieces(context.kernels(), context.stream(), added, n * sizeof(float), columns, column_stride * sizeof(float), n * sizeof(float),
                                      heads));
}

void attention_rows(Context& context, Compute, const float* q, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments, float* out) {
  const kvsift_cuda_column_arguments own_arguments = device_arguments(arguments);
  context.watch();
  context.run(kvsift_cuda_attention_rows(context.kernels(), context.stream(), q, rows, &view, n, &own_arguments, out));
}

}  // namespace kvsift

#include <new>

#include "launch/algebra.h"
#include "launch/attention.h"
#include "launch/formula.h"
#include "launch/kv.h"
#include "launch/rows.h"
#include "launch/select.h"
#include "launch/weights.h"

// The C interface: null checks of what lies in host memory, then the launcher.
#ifdef KVSIFT_EMULATED
namespace kvsift::emulated {
#else
using namespace kvsift::KVSIFT_TARGET;
#endif

kvsift_cuda_status kvsift_cuda_kv_append(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_segment* segments, size_t segment_count, const float* k, const float* v, const int32_t* positions) {
  return guarded(context, "kv_append", stream, [&](const Launch& launch) {
    launch.require(segment_count == 0 || segments != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "segments is null");
    kvsift::KVSIFT_TARGET::kv_append(launch, {segments, segment_count}, k, v, positions);
  });
}

kvsift_cuda_status kvsift_cuda_kv_gather(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* from, const kvsift_cuda_slot_selection* selection, const kvsift_cuda_kv_view* to) {
  return guarded(context, "kv_gather", stream, [&](const Launch& launch) {
    launch.require(from != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "from is null");
    launch.require(to != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "to is null");
    kvsift::KVSIFT_TARGET::kv_gather(launch, *from, selection, *to);
  });
}

kvsift_cuda_status kvsift_cuda_kv_compact(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* view, const kvsift_cuda_slot_selection* selection) {
  return guarded(context, "kv_compact", stream, [&](const Launch& launch) {
    launch.require(view != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "view is null");
    launch.require(selection != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "selection is null");
    kvsift::KVSIFT_TARGET::kv_compact(launch, *view, *selection);
  });
}

kvsift_cuda_status kvsift_cuda_kv_read(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* view, kvsift_cuda_kv_part part, size_t first, size_t n, float* out) {
  return guarded(context, "kv_read", stream, [&](const Launch& launch) {
    launch.require(view != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "view is null");
    kvsift::KVSIFT_TARGET::kv_copy(launch, *view, part, first, n, out, false);
  });
}

kvsift_cuda_status kvsift_cuda_kv_replace(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* view, kvsift_cuda_kv_part part, size_t n, const float* x) {
  return guarded(context, "kv_replace", stream, [&](const Launch& launch) {
    launch.require(view != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "view is null");
    kvsift::KVSIFT_TARGET::kv_copy(launch, *view, part, 0, n, const_cast<float*>(x), true);
  });
}

kvsift_cuda_status kvsift_cuda_attention(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_segment* segments, size_t segment_count, const float* q, const kvsift_cuda_attention_shape* shape, const int32_t* positions, float* out, float* log_sum_exp) {
  return guarded(context, "attention", stream, [&](const Launch& launch) {
    launch.require(segment_count == 0 || segments != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "segments is null");
    launch.require(shape != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "shape is null");
    kvsift::KVSIFT_TARGET::attention(launch, {segments, segment_count}, q, *shape, positions, out, log_sum_exp);
  });
}

kvsift_cuda_status kvsift_cuda_attention_decode(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_segment* segments, size_t segment_count, const float* q, const kvsift_cuda_attention_shape* shape, const int32_t* positions, float* out, float* log_sum_exp, float* scores, size_t score_stride) {
  return guarded(context, "attention_decode", stream, [&](const Launch& launch) {
    launch.require(segment_count == 0 || segments != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "segments is null");
    launch.require(shape != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "shape is null");
    kvsift::KVSIFT_TARGET::attention_decode(launch, {segments, segment_count}, q, *shape, positions, {out, log_sum_exp, scores, score_stride});
  });
}

kvsift_cuda_status kvsift_cuda_attention_columns(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* q, size_t rows, const kvsift_cuda_kv_view* view, size_t n, kvsift_cuda_column_statistic statistic, const kvsift_cuda_column_arguments* arguments, float* out) {
  return guarded(context, "attention_columns", stream, [&](const Launch& launch) {
    launch.require(view != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "view is null");
    launch.require(arguments != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "arguments is null");
    kvsift::KVSIFT_TARGET::attention_columns(launch, q, rows, *view, n, statistic == KVSIFT_CUDA_COLUMN_MAX, *arguments, out);
  });
}

kvsift_cuda_status kvsift_cuda_attention_rows(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* q, size_t rows, const kvsift_cuda_kv_view* view, size_t n, const kvsift_cuda_column_arguments* arguments, float* out) {
  return guarded(context, "attention_rows", stream, [&](const Launch& launch) {
    launch.require(view != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "view is null");
    launch.require(arguments != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "arguments is null");
    kvsift::KVSIFT_TARGET::attention_rows(launch, q, rows, *view, n, *arguments, out);
  });
}

kvsift_cuda_status kvsift_cuda_pool(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_pool_kind kind, const float* x, size_t rows, size_t columns, size_t kernel_size, float* out) {
  return guarded(context, "pool", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::pool(launch, kind, x, rows, columns, kernel_size, out);
  });
}

kvsift_cuda_status kvsift_cuda_top(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_top_arguments* arguments, int32_t* indices, int32_t* offsets) {
  return guarded(context, "top", stream, [&](const Launch& launch) {
    launch.require(arguments != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "arguments is null");
    kvsift::KVSIFT_TARGET::top(launch, *arguments, indices, offsets);
  });
}

kvsift_cuda_status kvsift_cuda_top_shares(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* scores, size_t heads, size_t length, size_t total, int32_t* out) {
  return guarded(context, "top_shares", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::top_shares(launch, scores, heads, length, total, out);
  });
}

kvsift_cuda_status kvsift_cuda_round_shares(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* shares, size_t count, size_t total, size_t cap, int32_t* out) {
  return guarded(context, "round_shares", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::round_shares(launch, shares, count, total, cap, out);
  });
}

kvsift_cuda_status kvsift_cuda_uniform(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_random_key key, size_t rows, size_t columns, float* out) {
  return guarded(context, "uniform", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::uniform(launch, key, rows, columns, out);
  });
}

kvsift_cuda_status kvsift_cuda_rms_norm(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns, const float* weight, float epsilon, float weight_offset, float* out) {
  return guarded(context, "rms_norm", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::rms_norm(launch, x, rows, columns, weight, epsilon, weight_offset, out);
  });
}

kvsift_cuda_status kvsift_cuda_gated(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t half, kvsift_cuda_activation activation, float* out) {
  return guarded(context, "gated", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::gated(launch, x, rows, half, activation, out);
  });
}

kvsift_cuda_status kvsift_cuda_softcap(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t count, float cap, float* out) {
  return guarded(context, "softcap", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::softcap(launch, x, count, cap, out);
  });
}

kvsift_cuda_status kvsift_cuda_split_columns(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t count, const size_t* widths, float* const* out) {
  return guarded(context, "split_columns", stream, [&](const Launch& launch) {
    launch.require(widths != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "widths is null");
    launch.require(out != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "out is null");
    kvsift::KVSIFT_TARGET::split_columns(launch, x, rows, count, widths, out);
  });
}

kvsift_cuda_status kvsift_cuda_rope(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t heads, size_t head_dim, const int32_t* positions, const float* inverse_frequencies, size_t rotary, float scale, float* out) {
  return guarded(context, "rope", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::rope(launch, x, rows, heads, head_dim, positions, inverse_frequencies, rotary, scale, out);
  });
}

kvsift_cuda_status kvsift_cuda_sample(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* logits, size_t rows, size_t vocabulary, const kvsift_cuda_sampling_rule* rules, int32_t* ids, float* log_probs) {
  return guarded(context, "sample", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::sample(launch, logits, rows, vocabulary, rules, ids, log_probs);
  });
}

kvsift_cuda_status kvsift_cuda_dequantize(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_weight* weight, float* out) {
  return guarded(context, "dequantize", stream, [&](const Launch& launch) {
    launch.require(weight != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "weight is null");
    kvsift::KVSIFT_TARGET::dequantize(launch, *weight, out);
  });
}

kvsift_cuda_status kvsift_cuda_embedding(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_weight* table, const int32_t* ids, size_t count, float scale, float* out) {
  return guarded(context, "embedding", stream, [&](const Launch& launch) {
    launch.require(table != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "table is null");
    kvsift::KVSIFT_TARGET::embedding(launch, *table, ids, count, scale, out);
  });
}

kvsift_cuda_status kvsift_cuda_linear(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_weight* weight, const float* x, size_t rows, const float* bias, const float* residual, float* out) {
  return guarded(context, "linear", stream, [&](const Launch& launch) {
    launch.require(weight != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "weight is null");
    kvsift::KVSIFT_TARGET::linear(launch, *weight, x, rows, bias, residual, out);
  });
}

kvsift_cuda_status kvsift_cuda_map(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_unary_op op, const float* x, size_t count, float* out) {
  return guarded(context, "map", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::map(launch, op, x, count, out);
  });
}

kvsift_cuda_status kvsift_cuda_zip(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_binary_op op, const float* a, const size_t a_steps[4], const float* b, const size_t b_steps[4], const size_t shape[4], float* out) {
  return guarded(context, "zip", stream, [&](const Launch& launch) {
    launch.require(a_steps != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "a_steps is null");
    launch.require(b_steps != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "b_steps is null");
    launch.require(shape != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "shape is null");
    kvsift::KVSIFT_TARGET::zip(launch, op, a, a_steps, b, b_steps, shape, out);
  });
}

kvsift_cuda_status kvsift_cuda_zip_scalar(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_binary_op op, const float* a, float b, size_t count, float* out) {
  return guarded(context, "zip_scalar", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::zip_scalar(launch, op, a, b, count, out);
  });
}

kvsift_cuda_status kvsift_cuda_reduce(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_reduce_op op, const float* x, size_t before, size_t size, size_t after, float* out) {
  return guarded(context, "reduce", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::reduce(launch, op, x, before, size, after, out);
  });
}

kvsift_cuda_status kvsift_cuda_evaluate(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_formula* formula, kvsift_cuda_formula_along along, kvsift_cuda_reduce_op op, float* out) {
  return guarded(context, "evaluate", stream, [&](const Launch& launch) {
    launch.require(formula != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "formula is null");
    launch.require(formula->tensors != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "tensors is null");
    launch.require(formula->steps != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "steps is null");
    kvsift::KVSIFT_TARGET::evaluate(launch, *formula, along, op, out);
  });
}

kvsift_cuda_status kvsift_cuda_softmax(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns, float* out) {
  return guarded(context, "softmax", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::softmax(launch, x, rows, columns, out);
  });
}

kvsift_cuda_status kvsift_cuda_cumsum(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns, float* out) {
  return guarded(context, "cumsum", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::cumsum(launch, x, rows, columns, out);
  });
}

kvsift_cuda_status kvsift_cuda_rank(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns, float* out) {
  return guarded(context, "rank", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::rank(launch, x, rows, columns, out);
  });
}

kvsift_cuda_status kvsift_cuda_matmul(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_matmul_shape* shape, const float* a, kvsift_cuda_dtype b_type, const void* b, float* out) {
  return guarded(context, "matmul", stream, [&](const Launch& launch) {
    launch.require(shape != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "shape is null");
    kvsift::KVSIFT_TARGET::matmul(launch, *shape, a, b_type, b, out);
  });
}

kvsift_cuda_status kvsift_cuda_copy_pieces(kvsift_cuda_context* context, kvsift_cuda_stream stream, const void* from, size_t from_stride, void* to, size_t to_stride, size_t bytes, size_t count) {
  return guarded(context, "copy_pieces", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::copy_pieces(launch, from, from_stride, to, to_stride, bytes, count);
  });
}

kvsift_cuda_status kvsift_cuda_transpose(kvsift_cuda_context* context, kvsift_cuda_stream stream, const void* x, size_t size, const size_t shape[4], const size_t order[4], void* out) {
  return guarded(context, "transpose", stream, [&](const Launch& launch) {
    launch.require(shape != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "shape is null");
    launch.require(order != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "order is null");
    kvsift::KVSIFT_TARGET::transpose(launch, x, size, shape, order, out);
  });
}

kvsift_cuda_status kvsift_cuda_to_float(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_dtype type, const void* x, size_t count, float* out) {
  return guarded(context, "to_float", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::to_float(launch, type, x, count, out);
  });
}

kvsift_cuda_status kvsift_cuda_to_int(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t count, int32_t* out) {
  return guarded(context, "to_int", stream, [&](const Launch& launch) {
    kvsift::KVSIFT_TARGET::to_int(launch, x, count, out);
  });
}

#ifdef KVSIFT_EMULATED
}
#endif

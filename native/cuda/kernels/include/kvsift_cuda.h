/*
 * C interface of the CUDA kernels of kvsift. Needs neither Node nor a network. Semantics of every op: packages/tensor/src/backend.ts.
 *
 * Pointers are device memory unless said otherwise. An op checks its arguments, enqueues on the given stream and returns: no op waits for the
 * device, copies to the host or synchronises, so every op may be captured in a CUDA graph. Scratch memory comes from the context's stream-ordered
 * pool. What only the device can know (a count that does not fit, an id out of range) sets a bit of the context's fault word, which
 * `kvsift_cuda_read_faults` copies out in stream order.
 *
 * f32 arrays, unless a dtype is given. Sizes count elements. Matrices are row-major.
 */
#ifndef KVSIFT_CUDA_H
#define KVSIFT_CUDA_H

#include <stddef.h>
#include <stdint.h>

/* The tests compile the library a second time for the host (see src/simt/emulated.h); a namespace keeps the two apart. */
#ifdef KVSIFT_EMULATED
namespace kvsift::emulated {
#elif defined(__cplusplus)
extern "C" {
#endif

typedef enum {
  KVSIFT_CUDA_OK = 0,
  KVSIFT_CUDA_INVALID_ARGUMENT,
  KVSIFT_CUDA_SHAPE_MISMATCH,
  KVSIFT_CUDA_DTYPE_MISMATCH,
  KVSIFT_CUDA_MISALIGNED,    /* a pointer is not on the boundary that the op's wide loads need */
  KVSIFT_CUDA_UNSUPPORTED,   /* within the contract, but beyond a limit of these kernels */
  KVSIFT_CUDA_OUT_OF_MEMORY,
  KVSIFT_CUDA_DEVICE_ERROR   /* the CUDA runtime refused a call */
} kvsift_cuda_status;

/* In the order of packages/tensor/src/dtype.ts and kvsift/dtype.h. */
typedef enum {
  KVSIFT_CUDA_F32, KVSIFT_CUDA_F16, KVSIFT_CUDA_BF16, KVSIFT_CUDA_I32, KVSIFT_CUDA_U8,
  KVSIFT_CUDA_Q4_0, KVSIFT_CUDA_Q4_1, KVSIFT_CUDA_Q5_0, KVSIFT_CUDA_Q5_1, KVSIFT_CUDA_Q8_0,
  KVSIFT_CUDA_Q2_K, KVSIFT_CUDA_Q3_K, KVSIFT_CUDA_Q4_K, KVSIFT_CUDA_Q5_K, KVSIFT_CUDA_Q6_K, KVSIFT_CUDA_IQ4_NL, KVSIFT_CUDA_IQ4_XS
} kvsift_cuda_dtype;

typedef struct kvsift_cuda_context kvsift_cuda_context;
/* A cudaStream_t (the same as a CUstream). */
typedef void* kvsift_cuda_stream;

/* Bits of the fault word. */
enum {
  KVSIFT_CUDA_FAULT_TOP_COUNTS = 1,    /* counts that do not fit the total, the bound or the length */
  KVSIFT_CUDA_FAULT_TOP_PROTECTED = 2, /* more protected entries than entries to keep */
  KVSIFT_CUDA_FAULT_EMBEDDING_ID = 4,  /* id out of range; its row is zero */
  KVSIFT_CUDA_FAULT_KV_RANGE = 8,      /* entries of a head lie outside its memory; the head counts as empty */
  KVSIFT_CUDA_FAULT_KV_LENGTH = 16,    /* a head holds another number of entries than the call says; it counts as empty */
  KVSIFT_CUDA_FAULT_KV_SELECTION = 32  /* a selection that does not fit: a slot that its head does not hold, offsets that do not ascend to the total */
};

/* ---- context ---- */

/* Opens a device. *out is set only where the status is OK. UNSUPPORTED: older than 8.0, or the library was not compiled for it. */
kvsift_cuda_status kvsift_cuda_open(int device, kvsift_cuda_context** out);
void kvsift_cuda_close(kvsift_cuda_context* context);
/* What was wrong with the last op that did not return OK; lives until the next op. Never null. */
const char* kvsift_cuda_message(const kvsift_cuda_context* context);
size_t kvsift_cuda_wanted(const kvsift_cuda_context* context);          /* bytes of device memory that it asked for in vain; 0: none */
const char* kvsift_cuda_status_name(kvsift_cuda_status status);         /* "ok", "invalid_argument", ... */
/* Device name, compute capability, multiprocessors, and where matrix products run; lives as long as the context. */
const char* kvsift_cuda_description(const kvsift_cuda_context* context);
/* The cudaMemPool_t that scratch memory comes from: a caller that takes its own memory from it shares what is free. Null without a device. */
void* kvsift_cuda_memory_pool(const kvsift_cuda_context* context);
/* Copies the fault word to `out` (host memory, pinned if the copy is to be asynchronous) in stream order and clears it. */
kvsift_cuda_status kvsift_cuda_read_faults(kvsift_cuda_context* context, kvsift_cuda_stream stream, int32_t* out);
/*
 * Where ops that are enqueued from now on set their bits: an int32 of the caller's that the device can write (pinned host memory is enough; a fault
 * is rare), or null for the context's own word. Lets the caller tell ops apart.
 */
kvsift_cuda_status kvsift_cuda_faults_at(kvsift_cuda_context* context, int32_t* word);
/* Whether prefill attention runs on warpgroup products where the device has them (Hopper): it does after kvsift_cuda_open. */
kvsift_cuda_status kvsift_cuda_use_warpgroups(kvsift_cuda_context* context, int use);
/* Loads cuBLASLt if it is found; OK or UNSUPPORTED with a message that names the places tried. Products use it from then on. */
kvsift_cuda_status kvsift_cuda_use_cublas(kvsift_cuda_context* context);

/* ---- cache ---- */

/* `KvView`: entry `slot` of head g is row starts[g] + slot, or table[g · blocks_per_head + slot / block_size] · block_size + slot % block_size. */
typedef struct kvsift_cuda_kv_view {
  kvsift_cuda_dtype type;   /* f32, f16, bf16, or q8_0 with a head_dim of whole blocks */
  size_t kv_heads;
  size_t head_dim;          /* at most 256; others than multiples of 8 cost a copy of the cache in attention */
  void* keys;               /* [rows, head_dim], 16-byte aligned */
  void* values;             /* likewise */
  int32_t* lengths;         /* [kv_heads] */
  const int32_t* starts;    /* [kv_heads]; unused with a table */
  int32_t* positions;       /* [rows] or null; ascending within a head */
  const int32_t* table;     /* [kv_heads, blocks_per_head] or null */
  size_t block_size;
  size_t blocks_per_head;
  size_t max_length;        /* upper bound of all lengths that the host knows */
  size_t rows;              /* of keys, values and positions: nothing behind them is touched, whatever the numbers on the device say */
} kvsift_cuda_kv_view;

/* `rows` consecutive token rows of a packed batch and the view that they belong to. */
typedef struct {
  kvsift_cuda_kv_view view;
  size_t rows;
} kvsift_cuda_kv_segment;

/* Kept slots, ascending per head; head g has indices[offsets[g] ... offsets[g + 1]). */
typedef struct {
  const int32_t* indices;
  const int32_t* offsets;   /* [kv_heads + 1] */
  size_t max_per_head;      /* upper bound that the host knows */
  size_t total;             /* indices */
} kvsift_cuda_slot_selection;

/* Writes rows of k and v [all rows, kv_heads · head_dim] behind the entries of each view, with their positions, and lengthens it. `segments` is host memory. */
kvsift_cuda_status kvsift_cuda_kv_append(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_segment* segments,
                                         size_t segment_count, const float* k, const float* v, const int32_t* positions);
/* Copies the selected entries (null: all) of `from` to the slots 0, 1, ... of `to` and sets its lengths. Same dtype; the memory may not overlap. */
kvsift_cuda_status kvsift_cuda_kv_gather(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* from,
                                         const kvsift_cuda_slot_selection* selection, const kvsift_cuda_kv_view* to);
/* Moves the selected entries of each head to its slots 0, 1, ... without a second copy, and shortens it. */
kvsift_cuda_status kvsift_cuda_kv_compact(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* view,
                                          const kvsift_cuda_slot_selection* selection);
typedef enum { KVSIFT_CUDA_KEYS, KVSIFT_CUDA_VALUES } kvsift_cuda_kv_part;
/* f32 [kv_heads, n, head_dim] from the entries first, first + 1, ... of a view whose heads all hold max_length entries. */
kvsift_cuda_status kvsift_cuda_kv_read(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* view,
                                       kvsift_cuda_kv_part part, size_t first, size_t n, float* out);
/* Back into a view whose heads all hold n entries. */
kvsift_cuda_status kvsift_cuda_kv_replace(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_view* view,
                                          kvsift_cuda_kv_part part, size_t n, const float* x);

/* ---- attention ---- */

/* Query head h reads KV head h / (query_heads / kv_heads). */
typedef struct {
  size_t query_heads;
  float scale;
  float softcap;  /* 0: none */
  int32_t window; /* 0: all; otherwise `positions` of the query rows are needed */
} kvsift_cuda_attention_shape;

/*
 * Causal attention of packed query rows q [rows, query_heads · head_dim]; out likewise; log_sum_exp [rows, query_heads] or null.
 * Segments with few rows, f32 caches and head dims other than 64, 80, 96, 128, 256 run on the split-entry kernel, the others on tensor cores.
 * Equal contents in dense, flattened and paged views give bit-identical results.
 */
kvsift_cuda_status kvsift_cuda_attention(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_segment* segments,
                                         size_t segment_count, const float* q, const kvsift_cuda_attention_shape* shape, const int32_t* positions,
                                         float* out, float* log_sum_exp);

/* Attention of few rows, always on the split-entry kernel; on request the logits [rows, query_heads, score_stride] (−∞ where a row does not look). */
kvsift_cuda_status kvsift_cuda_attention_decode(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_kv_segment* segments,
                                                size_t segment_count, const float* q, const kvsift_cuda_attention_shape* shape,
                                                const int32_t* positions, float* out, float* log_sum_exp, float* scores, size_t score_stride);

typedef enum { KVSIFT_CUDA_COLUMN_SUM, KVSIFT_CUDA_COLUMN_MAX } kvsift_cuda_column_statistic;
typedef enum { KVSIFT_CUDA_MASK_CAUSAL, KVSIFT_CUDA_MASK_NONE } kvsift_cuda_column_mask;

typedef struct {
  kvsift_cuda_attention_shape shape;
  kvsift_cuda_column_mask mask;
  size_t behind;              /* causal: row i of m sees the entries 0 ... n − behind − m + i */
  const int32_t* ends;        /* [rows] or null: entries that each row sees, instead of the causal rule (sampled rows) */
  const int32_t* positions;   /* [rows], needed with a window */
  const float* log_sum_exp;   /* [rows, query_heads] where known under the same mask, or null */
  int exact;                  /* not 0: in f32 from logits in batches of rows, whatever the cache's type */
} kvsift_cuda_column_arguments;

/* Σ or max over the query rows of the probability of each key: [query_heads, n]; never holds a rows × n matrix. All heads hold n entries. */
kvsift_cuda_status kvsift_cuda_attention_columns(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* q, size_t rows,
                                                 const kvsift_cuda_kv_view* view, size_t n, kvsift_cuda_column_statistic statistic,
                                                 const kvsift_cuda_column_arguments* arguments, float* out);
/* The probabilities of few rows: [query_heads, rows, n]; entries that a row does not see are 0. */
kvsift_cuda_status kvsift_cuda_attention_rows(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* q, size_t rows,
                                              const kvsift_cuda_kv_view* view, size_t n, const kvsift_cuda_column_arguments* arguments, float* out);

/* ---- scores and selection ---- */

typedef enum { KVSIFT_CUDA_POOL_AVERAGE, KVSIFT_CUDA_POOL_MAX } kvsift_cuda_pool_kind;
/* Stride 1, odd kernel, centred: 'average' pads zeros and divides by the kernel size, 'max' pads −∞. */
kvsift_cuda_status kvsift_cuda_pool(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_pool_kind kind, const float* x, size_t rows,
                                    size_t columns, size_t kernel_size, float* out);

typedef struct {
  const float* scores;    /* [heads, length] */
  size_t heads;
  size_t length;
  const int32_t* counts;  /* [heads], or null: `keep` of each head */
  size_t keep;
  size_t total;           /* sum of the counts */
  size_t max;             /* upper bound of each count */
  size_t protect_first;
  size_t protect_last;
  const float* protect;   /* [heads, length] or null: entries where it is not 0 are kept */
} kvsift_cuda_top_arguments;

/* Best entries per head: higher score first, equal scores lower index first, NaN as −∞. indices [total] ascending per head, offsets [heads + 1]. */
kvsift_cuda_status kvsift_cuda_top(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_top_arguments* arguments,
                                   int32_t* indices, int32_t* offsets);
/* How many of the `total` best scores of all heads each head has (order: score, head, index): i32 [heads]. */
kvsift_cuda_status kvsift_cuda_top_shares(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* scores, size_t heads, size_t length,
                                          size_t total, int32_t* out);
/* Integers nearest to the shares that sum to `total`, by largest remainder (ties: lower index), between 0 and `cap`. */
kvsift_cuda_status kvsift_cuda_round_shares(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* shares, size_t count, size_t total,
                                            size_t cap, int32_t* out);

typedef struct {
  uint32_t seed, sequence, layer, purpose;
} kvsift_cuda_random_key;
/* [rows, columns] in (0, 1), `uniformAt(key, row, column)` of packages/tensor/src/random.ts to the bit. */
kvsift_cuda_status kvsift_cuda_uniform(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_random_key key, size_t rows,
                                       size_t columns, float* out);

/* ---- model ---- */

/* x · (weight + offset) / √(mean(x²) + ε) over each row; out may be x. */
kvsift_cuda_status kvsift_cuda_rms_norm(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns,
                                        const float* weight, float epsilon, float weight_offset, float* out);
typedef enum { KVSIFT_CUDA_SILU, KVSIFT_CUDA_GELU_TANH, KVSIFT_CUDA_GELU } kvsift_cuda_activation;
/* act(x[:, :half]) · x[:, half:] */
kvsift_cuda_status kvsift_cuda_gated(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t half,
                                     kvsift_cuda_activation activation, float* out);
/* cap · tanh(x / cap); out may be x. */
kvsift_cuda_status kvsift_cuda_softcap(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t count, float cap, float* out);
/* Columns of x [rows, sum of widths] to `count` matrices: out[i] is [rows, widths[i]]. `widths` and `out` lie in host memory. */
kvsift_cuda_status kvsift_cuda_split_columns(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t count,
                                             const size_t* widths, float* const* out);
/* Rotates [rows, heads · head_dim] to positions; pairs are (c, c + rotary / 2), channels from `rotary` on are copied. out may be x. */
kvsift_cuda_status kvsift_cuda_rope(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t heads,
                                    size_t head_dim, const int32_t* positions, const float* inverse_frequencies, size_t rotary, float scale,
                                    float* out);

typedef struct {
  float temperature; /* 0: greedy */
  int32_t top_k;     /* 0: all */
  float top_p;
  float min_p;
  double uniform;    /* in (0, 1) */
} kvsift_cuda_sampling_rule;
/* Next token of each row of logits [rows, vocabulary]; `rules` [rows] is device memory. */
kvsift_cuda_status kvsift_cuda_sample(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* logits, size_t rows, size_t vocabulary,
                                      const kvsift_cuda_sampling_rule* rules, int32_t* ids, float* log_probs);

/* Rows of a weight as they lie in its file (device copy): floats or blocks; columns are whole blocks. */
typedef struct {
  kvsift_cuda_dtype type;
  const void* data;  /* 2-byte aligned for block formats */
  size_t rows;
  size_t columns;
  int computed;      /* kernels of the stream write it: it is not read before those in front of the op have ended, as other weights are */
} kvsift_cuda_weight;
/* f32 [rows, columns], exact. */
kvsift_cuda_status kvsift_cuda_dequantize(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_weight* weight, float* out);
/* Rows `ids` of a table, times `scale`: f32 [count, columns]. */
kvsift_cuda_status kvsift_cuda_embedding(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_weight* table, const int32_t* ids,
                                         size_t count, float scale, float* out);
/*
 * x · Wᵀ (+ bias [weight.rows]) (+ residual [rows, weight.rows], may be out): x f32 [rows, columns]. Up to 8 rows straight from the stored format
 * in f32; more rows as bf16 products with f32 accumulation, on cuBLASLt where it is in use, else on a tensor-core kernel of this library.
 */
kvsift_cuda_status kvsift_cuda_linear(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_weight* weight, const float* x,
                                      size_t rows, const float* bias, const float* residual, float* out);

/* ---- algebra on f32 ---- */

typedef enum {
  KVSIFT_CUDA_EXP, KVSIFT_CUDA_LOG, KVSIFT_CUDA_SQRT, KVSIFT_CUDA_ABS, KVSIFT_CUDA_NEG, KVSIFT_CUDA_SQUARE, KVSIFT_CUDA_RECIPROCAL,
  KVSIFT_CUDA_FLOOR, KVSIFT_CUDA_ISFINITE
} kvsift_cuda_unary_op;
typedef enum {
  KVSIFT_CUDA_ADD, KVSIFT_CUDA_SUB, KVSIFT_CUDA_MUL, KVSIFT_CUDA_DIV, KVSIFT_CUDA_MAX, KVSIFT_CUDA_MIN, KVSIFT_CUDA_LESS
} kvsift_cuda_binary_op;
typedef enum {
  KVSIFT_CUDA_REDUCE_SUM, KVSIFT_CUDA_REDUCE_MEAN, KVSIFT_CUDA_REDUCE_MAX, KVSIFT_CUDA_REDUCE_MIN, KVSIFT_CUDA_REDUCE_VARIANCE
} kvsift_cuda_reduce_op;

kvsift_cuda_status kvsift_cuda_map(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_unary_op op, const float* x, size_t count,
                                   float* out);
/* Result of four axes `shape`; element (i, j, k, l) of a is at Σ index · a_steps, 0 where it repeats; likewise b. The arrays are host memory. */
kvsift_cuda_status kvsift_cuda_zip(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_binary_op op, const float* a,
                                   const size_t a_steps[4], const float* b, const size_t b_steps[4], const size_t shape[4], float* out);
kvsift_cuda_status kvsift_cuda_zip_scalar(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_binary_op op, const float* a, float b,
                                          size_t count, float* out);
/* Reduces the middle axis of x [before, size, after]. variance divides by size − 1; max and min pass NaN on. */
kvsift_cuda_status kvsift_cuda_reduce(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_reduce_op op, const float* x,
                                      size_t before, size_t size, size_t after, float* out);

#define KVSIFT_CUDA_FORMULA_MOST 32             /* tensors of a formula, and steps */
#define KVSIFT_CUDA_FORMULA_NUMBER ((size_t)-1) /* in the place of operand b: the step has a number there */
typedef struct {
  const float* x;
  size_t steps[4]; /* elements from one place of the result to the next along each axis; 0 where it repeats */
} kvsift_cuda_formula_tensor;
/* One op. Operands are the tensors, then the steps before. */
typedef struct {
  int is_unary;
  kvsift_cuda_unary_op unary; /* where it is, else: */
  kvsift_cuda_binary_op binary;
  size_t a, b;
  float number;
} kvsift_cuda_formula_step;
/* Arrays in host memory; the last step gives the result. */
typedef struct {
  const kvsift_cuda_formula_tensor* tensors;
  const kvsift_cuda_formula_step* steps;
  size_t tensor_count, step_count, shape[4];
} kvsift_cuda_formula;
typedef enum { KVSIFT_CUDA_FORMULA_WHOLE, KVSIFT_CUDA_FORMULA_COLUMNS, KVSIFT_CUDA_FORMULA_ROWS } kvsift_cuda_formula_along;
/*
 * A formula element by element, of four axes; or reduced along its columns (the last axis) or rows (the one before). The bits are those of map, zip and
 * reduce one after the other; nothing lies in memory in between.
 */
kvsift_cuda_status kvsift_cuda_evaluate(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_formula* formula,
                                        kvsift_cuda_formula_along along, kvsift_cuda_reduce_op op, float* out);

/* Along the rows of x [rows, columns]. */
kvsift_cuda_status kvsift_cuda_softmax(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns,
                                       float* out);
kvsift_cuda_status kvsift_cuda_cumsum(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns,
                                      float* out);
/* Position of each element in ascending order of its row, as f32; ties: lower index first; NaN last. */
kvsift_cuda_status kvsift_cuda_rank(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t rows, size_t columns, float* out);

typedef struct {
  size_t rows, inner, columns;
  int transpose_b;       /* b is [columns, inner] */
  size_t lead[2];        /* leading axes of the result */
  size_t a_steps[2];     /* matrices of a from one place to the next along each of them; 0 where it repeats */
  size_t b_steps[2];
} kvsift_cuda_matmul_shape;
/* f32 products, f32 accumulation; b is f32, f16 or bf16. */
kvsift_cuda_status kvsift_cuda_matmul(kvsift_cuda_context* context, kvsift_cuda_stream stream, const kvsift_cuda_matmul_shape* shape, const float* a,
                                      kvsift_cuda_dtype b_type, const void* b, float* out);
/* `count` pieces of `bytes` bytes, piece i from `from + i · from_stride` to `to + i · to_stride`: what slice, concat and splitColumns come down to. */
kvsift_cuda_status kvsift_cuda_copy_pieces(kvsift_cuda_context* context, kvsift_cuda_stream stream, const void* from, size_t from_stride, void* to,
                                           size_t to_stride, size_t bytes, size_t count);
/* Axes in a new order; `size` is the bytes of one element (1, 2, 4); `order` the axis of x behind each axis of the result (host memory). */
kvsift_cuda_status kvsift_cuda_transpose(kvsift_cuda_context* context, kvsift_cuda_stream stream, const void* x, size_t size, const size_t shape[4],
                                         const size_t order[4], void* out);
/* f32 from f32, f16, bf16, i32 or u8. */
kvsift_cuda_status kvsift_cuda_to_float(kvsift_cuda_context* context, kvsift_cuda_stream stream, kvsift_cuda_dtype type, const void* x, size_t count,
                                        float* out);
/* Fraction dropped; NaN becomes 0 and what i32 cannot hold its nearest end. */
kvsift_cuda_status kvsift_cuda_to_int(kvsift_cuda_context* context, kvsift_cuda_stream stream, const float* x, size_t count, int32_t* out);

#ifdef KVSIFT_EMULATED
}
#elif defined(__cplusplus)
}
#endif
#endif

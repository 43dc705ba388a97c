#include "attention_pass.h"

namespace kvsift::KVSIFT_NS {

namespace {

template <DType Type>
KVSIFT_INLINE F load_typed(const std::byte* row, std::size_t at) {
  if constexpr (Type == DType::f32) return load(reinterpret_cast<const float*>(row) + at);
  else if constexpr (Type == DType::f16) return load_f16(row + 2 * at);
  else if constexpr (Type == DType::q8_0) return load_q8(row, at);
  else return load_bf16(row + 2 * at);
}

/** Bytes of an element, about: where the next line of memory begins. */
template <DType Type>
constexpr std::size_t sizeof_of = Type == DType::f32 ? 4 : Type == DType::q8_0 ? 1 : 2;

/** A cache is read once per step, faster than the hardware looks ahead: bytes from a load to what is fetched for later. */
constexpr std::size_t fetch_ahead = 4096;

/** Asks for the row of an entry that will be read soon. */
template <DType Type>
KVSIFT_INLINE void fetch(const EntryRows& upcoming, std::size_t entry, std::size_t head_dim) {
  if (entry >= upcoming.count) return;
  for (std::size_t byte = 0; byte < head_dim * sizeof_of<Type>; byte += 64) __builtin_prefetch(upcoming.rows[entry] + byte);
}

template <DType Type, int Rows>
KVSIFT_INLINE void few_scores_of(const EntryRows& entries, const EntryRows& upcoming, std::size_t head_dim, const float* q, float* scores, std::size_t stride) {
  float partial[Rows][16 * lanes];
  for (std::size_t at = 0; at < entries.count; at += 16) {
    for (std::size_t i = 0; i < 16; i++) {
      F sums[Rows];
      KVSIFT_UNROLL for (int m = 0; m < Rows; m++) sums[m] = splat(0.0F);
      if (at + i < entries.count) {
        const std::byte* key = entries.rows[at + i];
        fetch<Type>(upcoming, at + i, head_dim);
        for (std::size_t c = 0; c < head_dim; c += lanes) {
          if (c * sizeof_of<Type> % 64 == 0) __builtin_prefetch(key + fetch_ahead + c * sizeof_of<Type>);
          const F value = load_typed<Type>(key, c);
          KVSIFT_UNROLL for (int m = 0; m < Rows; m++) sums[m] += value * load(q + static_cast<std::size_t>(m) * head_dim + c);
        }
      }
      KVSIFT_UNROLL for (int m = 0; m < Rows; m++) store(partial[m] + i * lanes, sums[m]);
    }
    KVSIFT_UNROLL for (int m = 0; m < Rows; m++) join_16(partial[m], scores + static_cast<std::size_t>(m) * stride + at);
  }
}

template <DType Type, int Rows>
KVSIFT_INLINE void few_values_of(const EntryRows& entries, const EntryRows& upcoming, std::size_t head_dim, const float* weights, std::size_t stride, float* out) {
  constexpr int wide = lanes == 16 ? 4 : 16 / lanes;
  std::size_t c = 0;
  const auto take = [&]<int Vectors>() __attribute__((always_inline)) {
    F sums[Rows][Vectors];
    KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
      KVSIFT_UNROLL for (int v = 0; v < Vectors; v++) sums[m][v] = load(out + static_cast<std::size_t>(m) * head_dim + c + static_cast<std::size_t>(v * lanes));
    }
    for (std::size_t entry = 0; entry < entries.count; entry++) {
      F values[Vectors];
      if (c == 0) fetch<Type>(upcoming, entry, head_dim);
      KVSIFT_UNROLL for (int v = 0; v < Vectors; v++) {
        const std::size_t channel = c + static_cast<std::size_t>(v * lanes);
        values[v] = load_typed<Type>(entries.rows[entry], channel);
      }
      KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
        const F weight = splat(weights[static_cast<std::size_t>(m) * stride + entry]);
        KVSIFT_UNROLL for (int v = 0; v < Vectors; v++) sums[m][v] += weight * values[v];
      }
    }
    KVSIFT_UNROLL for (int m = 0; m < Rows; m++) {
      KVSIFT_UNROLL for (int v = 0; v < Vectors; v++) store(out + static_cast<std::size_t>(m) * head_dim + c + static_cast<std::size_t>(v * lanes), sums[m][v]);
    }
    c += Vectors * lanes;
  };
  while (c + wide * lanes <= head_dim) take.template operator()<wide>();
  while (c < head_dim) take.template operator()<1>();
}

/** Calls `work<Rows>(first row)` for up to four rows at a time. */
template <class Work>
KVSIFT_INLINE void by_four(std::size_t rows, Work work) {
  std::size_t row = 0;
  for (; row + 4 <= rows; row += 4) work.template operator()<4>(row);
  if (row + 3 == rows) work.template operator()<3>(row);
  else if (row + 2 == rows) work.template operator()<2>(row);
  else if (row + 1 == rows) work.template operator()<1>(row);
}

void few_scores(DType type, const EntryRows& entries, const EntryRows& upcoming, std::size_t head_dim, const float* q, std::size_t rows, float* scores,
                std::size_t stride) {
  by_four(rows, [&]<int Rows>(std::size_t row) {
    const float* some = q + row * head_dim;
    float* out = scores + row * stride;
    if (type == DType::f32) few_scores_of<DType::f32, Rows>(entries, upcoming, head_dim, some, out, stride);
    else if (type == DType::q8_0) few_scores_of<DType::q8_0, Rows>(entries, upcoming, head_dim, some, out, stride);
    else if (type == DType::f16) few_scores_of<DType::f16, Rows>(entries, upcoming, head_dim, some, out, stride);
    else few_scores_of<DType::bf16, Rows>(entries, upcoming, head_dim, some, out, stride);
  });
}

void few_values(DType type, const EntryRows& entries, const EntryRows& upcoming, std::size_t head_dim, const float* weights, std::size_t stride, std::size_t rows,
                float* out) {
  by_four(rows, [&]<int Rows>(std::size_t row) {
    const float* some = weights + row * stride;
    float* to = out + row * head_dim;
    if (type == DType::f32) few_values_of<DType::f32, Rows>(entries, upcoming, head_dim, some, stride, to);
    else if (type == DType::q8_0) few_values_of<DType::q8_0, Rows>(entries, upcoming, head_dim, some, stride, to);
    else if (type == DType::f16) few_values_of<DType::f16, Rows>(entries, upcoming, head_dim, some, stride, to);
    else few_values_of<DType::bf16, Rows>(entries, upcoming, head_dim, some, stride, to);
  });
}

void cap_scores(float* scores, std::size_t count, float cap) {
  for (std::size_t at = 0; at < count; at += lanes) store(scores + at, cap * tanh_of(load(scores + at)));
}

void scale_rows(const float* x, std::size_t count, float factor, float* out) {
  std::size_t c = 0;
  for (; c + lanes <= count; c += lanes) store(out + c, load(x + c) * factor);
  for (; c < count; c++) out[c] = x[c] * factor;
}

}  // namespace

AttentionKernels attention_kernels() {
  AttentionKernels kernels{};
  kernels.pack_keys = pack_keys;
  kernels.pack_values = pack_values;
  kernels.few_scores = few_scores;
  kernels.few_values = few_values;
  kernels.cap_scores = cap_scores;
  kernels.softmax = softmax;
#if defined(__AVX512BF16__) && defined(__AVX512VBMI__)
  kernels.softmax_in_steps = softmax_in_steps;
  kernels.largest = largest;
#endif
#if defined(__AMX_BF16__)
  kernels.attend_pass = attend_pass;
  kernels.attend_whole = attend_whole;
#endif
  kernels.columns = columns;
#if defined(__AVX512BF16__)
  kernels.weigh_columns = weigh_columns;
  kernels.pack_centred = pack_centred;
#endif
  kernels.add_exactly = add_exactly;
  kernels.probabilities = probabilities;
  kernels.scale_rows = scale_rows;
  return kernels;
}

}  // namespace kvsift::KVSIFT_NS

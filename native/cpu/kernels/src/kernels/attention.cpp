#include "attention_columns.h"

namespace kvsift::KVSIFT_NS {

namespace {

/** Each of 16 vectors joined to one number: their sums, or the largest of each. */
template <bool Maximum = false>
KVSIFT_INLINE void join_16(const float* vectors, float* out) {
#if defined(__AVX512F__)
  const auto join = [](F a, F b) __attribute__((always_inline)) { return Maximum ? max_of(a, b) : a + b; };
  F level[16];
  KVSIFT_UNROLL for (int i = 0; i < 16; i++) level[i] = load(vectors + i * 16);
  KVSIFT_UNROLL for (int i = 0; i < 8; i++) {
    level[i] = join(_mm512_unpacklo_ps(level[2 * i], level[2 * i + 1]), _mm512_unpackhi_ps(level[2 * i], level[2 * i + 1]));
  }
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
    const __m512d a = _mm512_castps_pd(level[2 * i]);
    const __m512d b = _mm512_castps_pd(level[2 * i + 1]);
    level[i] = join(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  KVSIFT_UNROLL for (int i = 0; i < 2; i++) {
    level[i] = join(_mm512_shuffle_f32x4(level[2 * i], level[2 * i + 1], 0x88), _mm512_shuffle_f32x4(level[2 * i], level[2 * i + 1], 0xdd));
  }
  store(out, join(_mm512_shuffle_f32x4(level[0], level[1], 0x88), _mm512_shuffle_f32x4(level[0], level[1], 0xdd)));
#elif defined(__AVX2__)
  const auto join = [](F a, F b) __attribute__((always_inline)) { return Maximum ? max_of(a, b) : a + b; };
  KVSIFT_UNROLL for (int half = 0; half < 16; half += 8) {
    F level[8];
    KVSIFT_UNROLL for (int i = 0; i < 8; i++) level[i] = load(vectors + (half + i) * 8);
    KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
      level[i] = join(_mm256_unpacklo_ps(level[2 * i], level[2 * i + 1]), _mm256_unpackhi_ps(level[2 * i], level[2 * i + 1]));
    }
    KVSIFT_UNROLL for (int i = 0; i < 2; i++) {
      const __m256d a = _mm256_castps_pd(level[2 * i]);
      const __m256d b = _mm256_castps_pd(level[2 * i + 1]);
      level[i] = join(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    store(out + half, join(_mm256_permute2f128_ps(level[0], level[1], 0x20), _mm256_permute2f128_ps(level[0], level[1], 0x31)));
  }
#else
  for (int i = 0; i < 16; i++) out[i] = Maximum ? max_in(load(vectors + i * lanes)) : sum_of(load(vectors + i * lanes));
#endif
}

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

/** Hides what a row does not see; the largest of the rest lane by lane. What is no number counts for nothing here, and becomes a weight that is none. */
KVSIFT_INLINE F tops_of(const ScoreTile& tile, std::size_t row, Seen seen) {
  float* scores = tile.scores + row * tile.stride;
  if (seen.first > 0 || seen.last < tile.width) hide_rest(tile, seen, scores);
  F tops[2] = {splat(nothing), splat(nothing)};
  for (std::size_t c = 0; c < tile.width; c += 2 * lanes) {
    tops[0] = max_of(load(scores + c), tops[0]);
    tops[1] = max_of(load(scores + c + lanes), tops[1]);
  }
  return max_of(tops[0], tops[1]);
}

/** Scores become weights; returns their sums, lane by lane. */
KVSIFT_INLINE F weigh(float* scores, std::uint16_t* halves, std::size_t width, float top) {
  F sums[2] = {splat(0.0F), splat(0.0F)};
  for (std::size_t c = 0; c < width; c += 2 * lanes) {
    const F a = halves != nullptr ? exp2_of<true>(load(scores + c) - top) : exp2_of(load(scores + c) - top);
    const F b = halves != nullptr ? exp2_of<true>(load(scores + c + lanes) - top) : exp2_of(load(scores + c + lanes) - top);
    sums[0] += a;
    sums[1] += b;
    if (halves != nullptr) {
      store_rounded(halves + c, a, b);
    } else {
      store(scores + c, a);
      store(scores + c + lanes, b);
    }
  }
  return sums[0] + sums[1];
}

/** 16 rows at a time: what is to be joined within a row is joined for all of them at once. */
void softmax(const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* halves) {
  constexpr std::size_t some = 16;
  alignas(64) float partial[some * lanes];
  alignas(64) float here[some];
  alignas(64) float top[some];
  alignas(64) float factor[some];
  for (std::size_t first = 0; first < tile.rows; first += some) {
    const std::size_t count = least(some, tile.rows - first);
    bool sees[some] = {};
    for (std::size_t i = 0; i < some; i++) {
      const Seen seen = i < count ? seen_by(tile, first + i) : Seen{0, 0};
      sees[i] = seen.first < seen.last;
      store(partial + i * lanes, sees[i] ? tops_of(tile, first + i, seen) : splat(nothing));
      top[i] = i < count ? state.top[first + i] : nothing;
    }
    join_16<true>(partial, here);
    bool moved = false;
    for (std::size_t i = 0; i < some; i += lanes) {
      const F before = load(top + i);
      const F now = max_of(before, load(here + i));
      store(factor + i, before == now ? splat(1.0F) : exp2_of(before - now));
      store(top + i, now);
      moved = moved || sum_of(before == now) != -lanes;
    }
    for (std::size_t i = 0; i < some; i++) {
      F sum = splat(0.0F);
      if (i < count) {
        float* scores = tile.scores + (first + i) * tile.stride;
        std::uint16_t* weights = halves != nullptr ? halves + (first + i) * tile.stride : nullptr;
        if (sees[i]) sum = weights != nullptr ? weigh(scores, weights, tile.width, top[i]) : weigh(scores, nullptr, tile.width, top[i]);
        else if (weights != nullptr) __builtin_memset(weights, 0, tile.width * sizeof *weights);
        else __builtin_memset(scores, 0, tile.width * sizeof *scores);
      }
      store(partial + i * lanes, sum);
    }
    join_16(partial, here);
    for (std::size_t i = 0; i < count; i++) {
      const std::size_t row = first + i;
      state.top[row] = top[i];
      state.sum[row] = state.sum[row] * factor[i] + here[i];
    }
    if (!moved) continue;
    for (std::size_t i = 0; i < count; i++) {
      const std::size_t row = first + i;
      if (state.out == nullptr || factor[i] == 1.0F) continue;
      float* out = state.out + row * state.head_dim;
      std::size_t c = 0;
      for (; c + lanes <= state.head_dim; c += lanes) store(out + c, load(out + c) * factor[i]);
      for (; c < state.head_dim; c++) out[c] *= factor[i];
    }
  }
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

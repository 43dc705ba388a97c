#include "../kernel_table.h"
#include "../simd.h"

namespace kvsift::KVSIFT_NS {

namespace {

constexpr int half = lanes / 2;
typedef double D __attribute__((vector_size(lanes * 4)));
typedef float HalfF __attribute__((vector_size(half * 4)));
typedef float AnyHalf __attribute__((vector_size(half * 4), aligned(1), may_alias));

KVSIFT_INLINE D load_wide(const float* x) { return __builtin_convertvector(static_cast<HalfF>(*reinterpret_cast<const AnyHalf*>(x)), D); }

KVSIFT_INLINE void store_narrow(float* out, D x) { *reinterpret_cast<AnyHalf*>(out) = __builtin_convertvector(x, HalfF); }

/** Sums that one row is folded into side by side, the same number in every set, so that all add up in one order. */
constexpr int row_sums = 8;
constexpr int row_vectors = row_sums / half;

constexpr float infinity = __builtin_inff();
// NaN wins.
constexpr auto larger = [](auto most, auto v) __attribute__((always_inline)) { return (v > most) | (v != v) ? v : most; };
constexpr auto smaller = [](auto least, auto v) __attribute__((always_inline)) { return (v < least) | (v != v) ? v : least; };

/**
 * Variance from Σ d and Σ d² of the distances from the first value. As that value is one of them, Σ d² is at most `count` times what is left of it:
 * doubles lose nothing that a float would show.
 */
template <class T>
KVSIFT_INLINE T variance_of(T distances, T squares, double count) {
  return (squares - distances * (distances / count)) / (count - 1);
}

/** Sums of one row, side by side. */
struct RowSums {
  D vectors[row_vectors] = {};

  __attribute__((always_inline)) void add(int k, D v) { vectors[k] += v; }
  /** With the values that filled no vector. */
  template <class Rest>
  __attribute__((always_inline)) double total(std::size_t rest, Rest value) const {
    double each[row_sums];
    __builtin_memcpy(each, vectors, sizeof each);
    for (std::size_t i = 0; i < rest; i++) each[i] += value(i);
    return ((each[0] + each[4]) + (each[2] + each[6])) + ((each[1] + each[5]) + (each[3] + each[7]));
  }
};

KVSIFT_INLINE double sum_row(const float* x, std::size_t size) {
  RowSums sums;
  std::size_t i = 0;
  for (; i + row_sums <= size; i += row_sums) {
    KVSIFT_UNROLL
    for (int k = 0; k < row_vectors; k++) sums.add(k, load_wide(x + i + static_cast<std::size_t>(k * half)));
  }
  return sums.total(size - i, [&](std::size_t j) { return static_cast<double>(x[i + j]); });
}

KVSIFT_INLINE double row_variance(const float* x, std::size_t size) {
  const auto first = static_cast<double>(x[0]);
  RowSums sums;
  RowSums squares;
  std::size_t i = 0;
  for (; i + row_sums <= size; i += row_sums) {
    KVSIFT_UNROLL
    for (int k = 0; k < row_vectors; k++) {
      const D distance = load_wide(x + i + static_cast<std::size_t>(k * half)) - first;
      sums.add(k, distance);
      squares.add(k, distance * distance);
    }
  }
  const auto distance = [&](std::size_t j) { return static_cast<double>(x[i + j]) - first; };
  return variance_of(sums.total(size - i, distance), squares.total(size - i, [&](std::size_t j) { return distance(j) * distance(j); }), static_cast<double>(size));
}

#if defined(__AVX512F__)
/** Rows that are summed up side by side: none waits for its own last sum, and their sums meet in vectors. In the order of one row, to the bit. */
constexpr std::size_t block_rows = 8;

/** `RowSums::total` of eight rows, which come as 0, 4, 1, 5, 2, 6, 3, 7. */
KVSIFT_INLINE D totals_of(const D (&sums)[block_rows]) {
  D pairs[4];
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) {
    pairs[i] = _mm512_shuffle_f64x2(sums[2 * i], sums[2 * i + 1], 0x44) + _mm512_shuffle_f64x2(sums[2 * i], sums[2 * i + 1], 0xee);
  }
  D fours[2];
  KVSIFT_UNROLL for (int i = 0; i < 2; i++) {
    fours[i] = _mm512_shuffle_f64x2(pairs[2 * i], pairs[2 * i + 1], 0x88) + _mm512_shuffle_f64x2(pairs[2 * i], pairs[2 * i + 1], 0xdd);
  }
  return _mm512_unpacklo_pd(fours[0], fours[1]) + _mm512_unpackhi_pd(fours[0], fours[1]);
}

/** Whole blocks of rows. @return how many rows that were */
template <bool Variance>
KVSIFT_INLINE std::size_t sum_blocks(ReduceOp op, const float* x, std::size_t rows, std::size_t size, float* out) {
  const __m256i order = _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0);
  const std::size_t whole = size / row_sums * row_sums;
  const auto there = static_cast<__mmask16>((1U << (size - whole)) - 1);
  std::size_t row = 0;
  for (; row + block_rows <= rows; row += block_rows) {
    const float* from = x + row * size;
    D first[block_rows] = {};
    D sums[block_rows] = {};
    D squares[block_rows] = {};
    KVSIFT_UNROLL for (std::size_t i = 0; i < block_rows; i++) {
      if (Variance) first[i] = D{} + static_cast<double>(from[i * size]);
    }
    for (std::size_t at = 0; at < whole; at += row_sums) {
      KVSIFT_UNROLL for (std::size_t i = 0; i < block_rows; i++) {
        const D value = load_wide(from + i * size + at) - first[i];
        sums[i] += value;
        if (Variance) squares[i] += value * value;
      }
    }
    if (there != 0) {
      KVSIFT_UNROLL for (std::size_t i = 0; i < block_rows; i++) {
        const D value = static_cast<D>(_mm512_cvtps_pd(_mm512_castps512_ps256(_mm512_maskz_loadu_ps(there, from + i * size + whole)))) - first[i];
        sums[i] = _mm512_mask_add_pd(sums[i], static_cast<__mmask8>(there), sums[i], value);
        if (Variance) squares[i] = _mm512_mask_add_pd(squares[i], static_cast<__mmask8>(there), squares[i], value * value);
      }
    }
    const auto count = static_cast<double>(size);
    D all = totals_of(sums);
    if (Variance) all = variance_of(all, totals_of(squares), count);
    else if (op == ReduceOp::mean) all = all / count;
    _mm256_storeu_ps(out + row, _mm256_permutevar8x32_ps(_mm512_cvtpd_ps(all), order));
  }
  return row;
}
#endif

template <class Fold>
KVSIFT_INLINE float end_of_row(const float* x, std::size_t size, float start, Fold fold) {
  F ends = splat(start);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) ends = fold(ends, load(x + i));
  float each[lanes];
  store(each, ends);
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; lane++) each[lane] = fold(each[lane], each[lane + width]);
  }
  for (; i < size; i++) each[0] = fold(each[0], x[i]);
  return each[0];
}

void reduce_rows(ReduceOp op, const float* x, std::size_t rows, std::size_t size, float* out) {
  const auto count = static_cast<double>(size);
  std::size_t done = 0;
#if defined(__AVX512F__)
  if (op == ReduceOp::variance) done = sum_blocks<true>(op, x, rows, size, out);
  else if (op == ReduceOp::sum || op == ReduceOp::mean) done = sum_blocks<false>(op, x, rows, size, out);
#endif
  const auto all = [&](auto reduced) __attribute__((always_inline)) {
    for (std::size_t row = done; row < rows; row++) out[row] = static_cast<float>(reduced(x + row * size));
  };
  switch (op) {
    case ReduceOp::max: return all([&](const float* from) { return end_of_row(from, size, -infinity, larger); });
    case ReduceOp::min: return all([&](const float* from) { return end_of_row(from, size, infinity, smaller); });
    case ReduceOp::sum: return all([&](const float* from) { return sum_row(from, size); });
    case ReduceOp::mean: return all([&](const float* from) { return sum_row(from, size) / count; });
    case ReduceOp::variance: return all([&](const float* from) { return row_variance(from, size); });
  }
}

/** Columns that lie in registers as doubles. */
constexpr std::size_t wide = 4 * static_cast<std::size_t>(lanes);

/** `width` columns, a multiple of a vector, by vectors of doubles. */
template <std::size_t width>
KVSIFT_INLINE void sum_columns(ReduceOp op, const float* x, std::size_t size, std::size_t stride, float* out) {
  constexpr std::size_t vectors = width / half;
  D sums[vectors] = {};
  for (std::size_t row = 0; row < size; row++) {
    KVSIFT_UNROLL
    for (std::size_t k = 0; k < vectors; k++) sums[k] += load_wide(x + row * stride + k * half);
  }
  for (std::size_t k = 0; k < vectors; k++) store_narrow(out + k * half, op == ReduceOp::sum ? sums[k] : sums[k] / static_cast<double>(size));
}

template <std::size_t width>
KVSIFT_INLINE void column_variances(const float* x, std::size_t size, std::size_t stride, float* out) {
  constexpr std::size_t vectors = width / half;
  D first[vectors] = {};
  D sums[vectors] = {};
  D squares[vectors] = {};
  for (std::size_t k = 0; k < vectors; k++) first[k] = load_wide(x + k * half);
  for (std::size_t row = 0; row < size; row++) {
    KVSIFT_UNROLL
    for (std::size_t k = 0; k < vectors; k++) {
      const D distance = load_wide(x + row * stride + k * half) - first[k];
      sums[k] += distance;
      squares[k] += distance * distance;
    }
  }
  for (std::size_t k = 0; k < vectors; k++) store_narrow(out + k * half, variance_of(sums[k], squares[k], static_cast<double>(size)));
}

template <std::size_t width, class Fold>
KVSIFT_INLINE void end_columns(const float* x, std::size_t size, std::size_t stride, float start, Fold fold, float* out) {
  constexpr std::size_t vectors = width / lanes;
  F ends[vectors];
  for (std::size_t k = 0; k < vectors; k++) ends[k] = splat(start);
  for (std::size_t row = 0; row < size; row++) {
    KVSIFT_UNROLL
    for (std::size_t k = 0; k < vectors; k++) ends[k] = fold(ends[k], load(x + row * stride + k * lanes));
  }
  for (std::size_t k = 0; k < vectors; k++) store(out + k * lanes, ends[k]);
}

/** One column. */
float reduce_column(ReduceOp op, const float* x, std::size_t size, std::size_t stride) {
  if (op == ReduceOp::max || op == ReduceOp::min) {
    float end = op == ReduceOp::max ? -infinity : infinity;
    for (std::size_t row = 0; row < size; row++) end = op == ReduceOp::max ? larger(end, x[row * stride]) : smaller(end, x[row * stride]);
    return end;
  }
  const double first = op == ReduceOp::variance ? static_cast<double>(x[0]) : 0;
  double sum = 0;
  double squares = 0;
  for (std::size_t row = 0; row < size; row++) {
    const double distance = static_cast<double>(x[row * stride]) - first;
    sum += distance;
    squares += distance * distance;
  }
  const auto count = static_cast<double>(size);
  return static_cast<float>(op == ReduceOp::variance ? variance_of(sum, squares, count) : op == ReduceOp::mean ? sum / count : sum);
}

template <std::size_t width>
KVSIFT_INLINE void reduce_strip(ReduceOp op, const float* x, std::size_t size, std::size_t stride, float* out) {
  switch (op) {
    case ReduceOp::max: return end_columns<width>(x, size, stride, -infinity, larger, out);
    case ReduceOp::min: return end_columns<width>(x, size, stride, infinity, smaller, out);
    case ReduceOp::variance: return column_variances<width>(x, size, stride, out);
    default: return sum_columns<width>(op, x, size, stride, out);
  }
}

void reduce_columns(ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t columns, float* out) {
  std::size_t j = 0;
  for (; j + wide <= columns; j += wide) reduce_strip<wide>(op, x + j, size, stride, out + j);
  for (; j + lanes <= columns; j += lanes) reduce_strip<lanes>(op, x + j, size, stride, out + j);
  for (; j < columns; j++) out[j] = reduce_column(op, x + j, size, stride);
}

}  // namespace

ReduceKernels reduce_kernels() { return {reduce_rows, reduce_columns}; }

}  // namespace kvsift::KVSIFT_NS

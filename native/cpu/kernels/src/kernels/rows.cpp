#include "../kernel_table.h"
#include "../simd.h"

namespace kvsift::KVSIFT_NS {

namespace {

void rms_norm(const float* x, std::size_t count, const float* weight, float epsilon, float offset, float* out) {
  F sums[2] = {splat(0.0F), splat(0.0F)};
  std::size_t c = 0;
  for (; c + 2 * lanes <= count; c += 2 * lanes) {
    const F a = load(x + c);
    const F b = load(x + c + lanes);
    sums[0] += a * a;
    sums[1] += b * b;
  }
  double total = static_cast<double>(sum_of(sums[0] + sums[1]));
  for (; c < count; c++) total += static_cast<double>(x[c]) * x[c];
  const auto factor = static_cast<float>(1 / __builtin_sqrt(total / static_cast<double>(count) + epsilon));
  for (c = 0; c < count; c++) out[c] = x[c] * factor * (weight[c] + offset);
}

/** Applies `act(gate) · up` vector by vector. */
template <class Act>
KVSIFT_INLINE void gate_rows(const float* gate, const float* up, std::size_t count, float* out, Act act) {
  std::size_t c = 0;
  for (; c + lanes <= count; c += lanes) store(out + c, act(load(gate + c)) * load(up + c));
  if (c == count) return;
  float tail[2][lanes] = {};
  for (std::size_t i = c; i < count; i++) {
    tail[0][i - c] = gate[i];
    tail[1][i - c] = up[i];
  }
  store(tail[0], act(load(tail[0])) * load(tail[1]));
  for (std::size_t i = c; i < count; i++) out[i] = tail[0][i - c];
}

void silu(const float* gate, const float* up, std::size_t count, float* out) {
  gate_rows(gate, up, count, out, [](F x) __attribute__((always_inline)) { return x / (1.0F + exp_of(max_of(splat(-80.0F), -x))); });
}

void gelu_tanh(const float* gate, const float* up, std::size_t count, float* out) {
  gate_rows(gate, up, count, out,
            [](F x) __attribute__((always_inline)) { return 0.5F * x * (1.0F + tanh_of(0.7978845608028654F * (x + 0.044715F * x * x * x))); });
}

void softcap(const float* x, std::size_t count, float cap, float* out) {
  const float inverse = 1 / cap;
  std::size_t c = 0;
  for (; c + lanes <= count; c += lanes) store(out + c, cap * tanh_of(load(x + c) * inverse));
  for (; c < count; c++) {
    const F y = cap * tanh_of(splat(x[c] * inverse));
    out[c] = y[0];
  }
}

float largest(const float* x, std::size_t count) {
  // The second operand comes back where the first is NaN.
  F tops = splat(-__builtin_inff());
  std::size_t c = 0;
  for (; c + lanes <= count; c += lanes) tops = max_of(load(x + c), tops);
  float top = max_in(tops);
  for (; c < count; c++) top = x[c] > top ? x[c] : top;
  return top;
}

double exp_sum(const float* x, std::size_t count, float top) {
  // Far below what counts; a NaN, or −∞ less −∞, becomes it too.
  const F floor = splat(-200.0F);
  const auto term = [&](F values) __attribute__((always_inline)) { return exp_of(max_of(values - top, floor)); };
  double sum = 0;
  std::size_t c = 0;
  while (c + lanes <= count) {
    // Short sums in float, the long one in double.
    const std::size_t end = least(count - count % lanes, c + 64 * lanes);
    F part = splat(0.0F);
    for (; c < end; c += lanes) part += term(load(x + c));
    sum += static_cast<double>(sum_of(part));
  }
  for (; c < count; c++) sum += static_cast<double>(term(splat(x[c]))[0]);
  return sum;
}

/** Σ size(x), of four sums side by side. */
template <class Size>
KVSIFT_INLINE float sum_sizes(const float* x, std::size_t count, Size size) {
  F sums[4] = {splat(0.0F), splat(0.0F), splat(0.0F), splat(0.0F)};
  std::size_t c = 0;
  for (; c + 4 * lanes <= count; c += 4 * lanes) {
    KVSIFT_UNROLL for (int i = 0; i < 4; i++) sums[i] += size(load(x + c + i * lanes));
  }
  for (; c + lanes <= count; c += lanes) sums[0] += size(load(x + c));
  float total = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; c < count; c++) total += size(splat(x[c]))[0];
  return total;
}

float absolute_sum(const float* x, std::size_t count) {
  return sum_sizes(x, count, [](F v) __attribute__((always_inline)) { return reinterpret_cast<F>(reinterpret_cast<I>(v) & 0x7fffffff); });
}

float square_sum(const float* x, std::size_t count) {
  return sum_sizes(x, count, [](F v) __attribute__((always_inline)) { return v * v; });
}

/** Argument reduction by π/2 in three parts (Cody and Waite), then the Taylor-like polynomials of fdlibm; for |angle| below 2^20. */
void rope_table(std::int32_t position, const float* inverse, std::size_t half, float scale, float* cosines, float* sines) {
  for (std::size_t c = 0; c < half; c++) {
    const double angle = static_cast<double>(position) * static_cast<double>(inverse[c]);
    const double magic = 6755399441055744.0;
    const double shifted = angle * 0.63661977236758134308 + magic;
    const double turns = shifted - magic;
    const auto quadrant = static_cast<std::int64_t>(__builtin_bit_cast(std::uint64_t, shifted) & 3U);
    double r = angle - turns * 1.57079632673412561417e+00;
    r -= turns * 6.07710050630396597660e-11;
    r -= turns * 2.02226624879595063154e-21;
    const double z = r * r;
    const double sine = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 +
                        z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
    const double cosine = 1 - 0.5 * z + z * z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 +
                          z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
    const double cos_part = (quadrant & 1) != 0 ? sine : cosine;
    const double sin_part = (quadrant & 1) != 0 ? cosine : sine;
    const double cos_value = ((quadrant + 1) & 2) != 0 ? -cos_part : cos_part;
    const double sin_value = (quadrant & 2) != 0 ? -sin_part : sin_part;
    cosines[c] = static_cast<float>(cos_value * scale);
    sines[c] = static_cast<float>(sin_value * scale);
  }
}

void rotate(const float* x, const float* cosines, const float* sines, std::size_t half, float* out) {
  std::size_t c = 0;
  for (; c + lanes <= half; c += lanes) {
    const F a = load(x + c);
    const F b = load(x + half + c);
    const F cosine = load(cosines + c);
    const F sine = load(sines + c);
    store(out + c, a * cosine - b * sine);
    store(out + half + c, b * cosine + a * sine);
  }
  for (; c < half; c++) {
    const float a = x[c];
    const float b = x[half + c];
    out[c] = a * cosines[c] - b * sines[c];
    out[half + c] = b * cosines[c] + a * sines[c];
  }
}

/** Vector by vector; the tail through a padded copy. */
template <class In, class Out, class Convert>
KVSIFT_INLINE void convert(const In* x, std::size_t count, Out* out, Convert step) {
  std::size_t c = 0;
  for (; c + lanes <= count; c += lanes) step(x + c, out + c);
  if (c == count) return;
  In from[lanes] = {};
  Out to[lanes];
  for (std::size_t i = c; i < count; i++) from[i - c] = x[i];
  step(from, to);
  for (std::size_t i = c; i < count; i++) out[i] = to[i - c];
}

void to_f16(const float* x, std::size_t count, std::uint16_t* out) {
  convert(x, count, out, [](const float* from, std::uint16_t* to) __attribute__((always_inline)) { store_f16(to, load(from)); });
}
void to_bf16(const float* x, std::size_t count, std::uint16_t* out) {
  convert(x, count, out, [](const float* from, std::uint16_t* to) __attribute__((always_inline)) { store_bf16(to, load(from)); });
}
void from_f16(const std::uint16_t* x, std::size_t count, float* out) {
  convert(x, count, out, [](const std::uint16_t* from, float* to) __attribute__((always_inline)) { store(to, load_f16(from)); });
}
void from_bf16(const std::uint16_t* x, std::size_t count, float* out) {
  convert(x, count, out, [](const std::uint16_t* from, float* to) __attribute__((always_inline)) { store(to, load_bf16(from)); });
}

void to_q8(const float* x, std::size_t count, std::byte* out) {
  for (; count >= 32; count -= 32, x += 32, out += 34) {
    F largest = splat(0.0F);
    F finite = splat(0.0F);
    KVSIFT_UNROLL for (int v = 0; v < 32; v += lanes) {
      const F value = load(x + v);
      largest = max_of(largest, max_of(value, -value));
      finite += value * 0.0F;
    }
    const float top = max_in(largest);
    // 0 · x is NaN where x is not finite.
    const bool sound = sum_of(finite) == 0.0F;
    alignas(64) float scales[lanes] = {sound ? top / 127 : __builtin_nanf("")};
    alignas(64) std::uint16_t halves[lanes];
    store_f16(halves, load(scales));
    __builtin_memcpy(out, halves, 2);
    const float inverse = sound && top > 0 ? 127 / top : 0.0F;
    KVSIFT_UNROLL for (int v = 0; v < 32; v += lanes) store_bytes(out + 2 + v, sound ? to_int(load(x + v) * inverse) : splat(std::int32_t{0}));
  }
}

void from_q8(const std::byte* x, std::size_t count, float* out) {
  for (; count >= 32; count -= 32, x += 34, out += 32) {
    const F scale = splat(half_of(x));
    KVSIFT_UNROLL for (int v = 0; v < 32; v += lanes) store(out + v, scale * to_float(load_bytes(x + 2 + v)));
  }
}

void rank_few(const std::int32_t* keys, std::size_t count, float* ranks) {
  I index = {};
  for (int lane = 0; lane < lanes; lane++) index[lane] = lane;
  for (std::size_t i = 0; i < count; i++) {
    const I own = splat(keys[i]);
    const std::size_t block = i / lanes * lanes;
    const I others = load_bits(keys + block);
    // Comparisons give −1. Of equal ones those with a lower index come before.
    I before = (others < own) | ((others == own) & (index < splat(static_cast<std::int32_t>(i - block))));
    for (std::size_t j = 0; j < block; j += lanes) before += load_bits(keys + j) <= own;
    for (std::size_t j = block + lanes; j < count; j += lanes) before += load_bits(keys + j) < own;
    ranks[i] = static_cast<float>(-sum_of(before));
  }
}

}  // namespace

RowKernels row_kernels() {
  return {rms_norm, silu, gelu_tanh, softcap, largest, exp_sum, absolute_sum, square_sum, rope_table, rotate, to_f16, to_bf16, from_f16, from_bf16, to_q8, from_q8, rank_few};
}

}  // namespace kvsift::KVSIFT_NS

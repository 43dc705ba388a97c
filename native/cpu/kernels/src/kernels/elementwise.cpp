#include "../kernel_table.h"
#include "../simd.h"

namespace kvsift::KVSIFT_NS {

namespace {

/** Plain loops, which the compiler turns into vectors of the instruction set. */
template <class Apply>
KVSIFT_INLINE void each(const float* x, std::size_t count, float* out, Apply apply) {
  for (std::size_t i = 0; i < count; i++) out[i] = apply(x[i]);
}

/**
 * e^x in double, then rounded: what is below the smallest or above the largest float becomes 0 or ∞ by that. 2^whole · e^rest, the rest within
 * ½ ln 2, by its Taylor series to the ninth power (7e-12).
 */
KVSIFT_INLINE float exponential(float x) {
  constexpr double magic = 6755399441055744.0;  // 1.5 · 2^52: the whole number lies in the last bits
  const double bounded = x > 200.0F ? 200.0 : x < -200.0F ? -200.0 : static_cast<double>(x);
  const double shifted = bounded * 1.44269504088896340736 + magic;
  const double rest = bounded - (shifted - magic) * 0.693147180559945309417;
  const double series =
      1 + rest * (1 + rest * (1.0 / 2 + rest * (1.0 / 6 + rest * (1.0 / 24 + rest * (1.0 / 120 + rest * (1.0 / 720 + rest * (1.0 / 5040 +
                                                                                                      rest * (1.0 / 40320 + rest * (1.0 / 362880)))))))));
  const auto power = __builtin_bit_cast(double, (__builtin_bit_cast(std::uint64_t, shifted) + 1023) << 52);
  return static_cast<float>(series * power);
}

/** ln x in double, then rounded. exponent · ln 2 + 2 artanh((m − 1) / (m + 1)) with m between √½ and √2, to the thirteenth power (1e-12). */
KVSIFT_INLINE float logarithm(float x) {
  const auto bits = __builtin_bit_cast(std::uint64_t, static_cast<double>(x));
  constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcd;
  const std::uint64_t above = bits - root_half;
  // The exponent in the last bits of 2^52, which is then taken away with its bias.
  const auto exponent = __builtin_bit_cast(double, ((above + (std::uint64_t{2048} << 52)) >> 52) | 0x4330000000000000) - 4503599627372544.0;
  const auto mantissa = __builtin_bit_cast(double, (above & 0x000fffffffffffff) + root_half);
  const double s = (mantissa - 1) / (mantissa + 1);
  const double z = s * s;
  const double series = 2 * s * (1 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13)))))));
  const auto result = static_cast<float>(exponent * 0.693147180559945309417 + series);
  const float special = x == 0.0F ? -__builtin_inff() : x > 0.0F ? x : __builtin_nanf("");
  return (x > 0.0F) & (x < __builtin_inff()) ? result : special;
}

template <class Apply>
KVSIFT_INLINE void pairs(const float* a, std::size_t a_step, const float* b, std::size_t b_step, std::size_t count, float* out, Apply apply) {
  if (a_step == 1 && b_step == 1) {
    for (std::size_t i = 0; i < count; i++) out[i] = apply(a[i], b[i]);
  } else if (a_step == 1) {
    const float other = *b;
    for (std::size_t i = 0; i < count; i++) out[i] = apply(a[i], other);
  } else if (b_step == 1) {
    const float other = *a;
    for (std::size_t i = 0; i < count; i++) out[i] = apply(other, b[i]);
  } else {
    const float value = apply(*a, *b);
    for (std::size_t i = 0; i < count; i++) out[i] = value;
  }
}

void map(UnaryOp op, const float* x, std::size_t count, float* out) {
  switch (op) {
    case UnaryOp::exp: return each(x, count, out, exponential);
    case UnaryOp::log: return each(x, count, out, logarithm);
    case UnaryOp::sqrt: return each(x, count, out, [](float v) { return __builtin_sqrtf(v); });
    case UnaryOp::abs: return each(x, count, out, [](float v) { return __builtin_fabsf(v); });
    case UnaryOp::neg: return each(x, count, out, [](float v) { return -v; });
    case UnaryOp::square: return each(x, count, out, [](float v) { return v * v; });
    case UnaryOp::reciprocal: return each(x, count, out, [](float v) { return 1.0F / v; });
    case UnaryOp::floor: return each(x, count, out, [](float v) { return __builtin_floorf(v); });
    case UnaryOp::isfinite: return each(x, count, out, [](float v) { return __builtin_fabsf(v) < __builtin_inff() ? 1.0F : 0.0F; });
  }
}

/** Whether a side's rows lie one behind the other, or are all one number. */
bool goes_on(const ZipSide& side, std::size_t columns) { return side.row_step == side.step * columns; }

void zip(BinaryOp op, const ZipSide& a, const ZipSide& b, std::size_t rows, std::size_t columns, float* out) {
  if (goes_on(a, columns) && goes_on(b, columns)) {
    columns *= rows;
    rows = 1;
  }
  const auto all = [&](auto apply) __attribute__((always_inline)) {
    for (std::size_t row = 0; row < rows; row++) pairs(a.x + row * a.row_step, a.step, b.x + row * b.row_step, b.step, columns, out + row * columns, apply);
  };
  switch (op) {
    case BinaryOp::add: return all([](float x, float y) { return x + y; });
    case BinaryOp::sub: return all([](float x, float y) { return x - y; });
    case BinaryOp::mul: return all([](float x, float y) { return x * y; });
    case BinaryOp::div: return all([](float x, float y) { return x / y; });
    // NaN wins, whichever side it is on.
    case BinaryOp::max: return all([](float x, float y) { return (x > y) | (x != x) ? x : y; });
    case BinaryOp::min: return all([](float x, float y) { return (x < y) | (x != x) ? x : y; });
    case BinaryOp::less: return all([](float x, float y) { return x < y ? 1.0F : 0.0F; });
  }
}

}  // namespace

ElementKernels element_kernels() { return {map, zip}; }

}  // namespace kvsift::KVSIFT_NS

#include "../kernel_table.h"
#include "../simd.h"
#include "byte_sums.h"
#include "tiles.h"

namespace kvsift::KVSIFT_NS {

namespace {

/** Independent chains: enough to fill two units of five cycles. */
constexpr int chains = lanes == 16 ? 16 : 10;

/** Keeps values in registers, known to nobody. */
template <class T>
KVSIFT_INLINE void hold(T& x) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(x));
#else
  asm volatile("" : "+w"(x));
#endif
}

double multiply_add(std::size_t rounds) {
  F sums[chains];
  F a = splat(1.0F);
  F b = splat(0.5F);
  KVSIFT_UNROLL for (int i = 0; i < chains; i++) sums[i] = splat(0.0F);
  for (std::size_t round = 0; round < rounds; round++) {
    KVSIFT_UNROLL for (int i = 0; i < chains; i++) {
      sums[i] = sums[i] * a + b;
      hold(sums[i]);
    }
  }
  return static_cast<double>(rounds) * chains * lanes * 2;
}

double byte_dot(std::size_t rounds) {
  constexpr int steps = 8;
  using Sum = ByteSum<nibbles>;
  I totals[chains];
  I a = splat(std::int32_t{0x01010101});
  I b = splat(std::int32_t{0x02020202});
  hold(b);
  KVSIFT_UNROLL for (int i = 0; i < chains; i++) totals[i] = splat(std::int32_t{0});
  for (std::size_t round = 0; round < rounds; round++) {
    I some[chains];
    KVSIFT_UNROLL for (int step = 0; step < steps; step++) {
      KVSIFT_UNROLL for (int i = 0; i < chains; i++) {
        hold(a);
        Sum::add(totals[i], some[i], a, b, step, steps);
      }
    }
    KVSIFT_UNROLL for (int i = 0; i < chains; i++) hold(totals[i]);
  }
  return static_cast<double>(rounds) * steps * chains * lanes * 8;
}

#if defined(__AMX_BF16__)
double bf16_dot(std::size_t rounds) {
  begin_pairs();
  begin_sums<2, 2>(nullptr, 0);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (std::size_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  end_pairs();
  return static_cast<double>(rounds) * 4 * 16 * 16 * 64;
}
#elif defined(__AVX512BF16__)
double bf16_dot(std::size_t rounds) {
  F sums[chains];
  I a = splat(std::int32_t{0x3f803f80});
  hold(a);
  KVSIFT_UNROLL for (int i = 0; i < chains; i++) sums[i] = splat(0.0F);
  for (std::size_t round = 0; round < rounds; round++) {
    KVSIFT_UNROLL for (int i = 0; i < chains; i++) {
      sums[i] = _mm512_dpbf16_ps(sums[i], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(a));
      hold(sums[i]);
    }
  }
  return static_cast<double>(rounds) * chains * lanes * 4;
}
#endif

void read(const std::byte* data, std::size_t bytes) {
  I sums[4] = {};
  for (std::size_t at = 0; at + 16 * lanes <= bytes; at += 16 * lanes) {
    KVSIFT_UNROLL for (int i = 0; i < 4; i++) sums[i] |= load_bits(data + at + static_cast<std::size_t>(i) * 4 * lanes);
  }
  KVSIFT_UNROLL for (int i = 0; i < 4; i++) hold(sums[i]);
}

}  // namespace

LimitKernels limit_kernels() {
#if defined(__AVX512BF16__)
  return {multiply_add, bf16_dot, byte_dot, read};
#else
  return {multiply_add, nullptr, byte_dot, read};
#endif
}

}  // namespace kvsift::KVSIFT_NS

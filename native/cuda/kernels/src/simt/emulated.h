#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>

#include "simt/queue.h"

// The host in the place of a GPU, for tests: kernels are compiled by the C++ compiler and run as written, the threads of a block as coroutines that
// meet at barriers and warp operations, blocks one after another. Warps run as far apart as the barriers allow, and asynchronous copies and products
// happen at once or as late as the waits allow, so that a missing barrier or wait shows. Tensor-core operations and ldmatrix follow the register layouts of the PTX manual. What this cannot
// show: races within a warp, memory ordering, occupancy, and the instructions that nvcc makes.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __restrict__
#define __grid_constant__
#define __launch_bounds__(...)

namespace kvsift::emulated {

struct Index3 {
  unsigned x = 1, y = 1, z = 1;
};
inline Index3 threadIdx, blockIdx, blockDim, gridDim;

using Grid = Index3;

/** Waits until every thread of the block (or of the warp) has come here. */
void wait_block();
void wait_warp();
/** Puts down up to 32 bytes for the other lanes of the warp, waits for all of them, and returns where lane 0's lie (32 bytes apart). */
const unsigned char* exchange(const void* value, std::size_t bytes);

/** Shared memory of a block: 99 KB on sm_89, 227 KB on sm_90, less what kernels hold statically. */
constexpr std::size_t usual_shared_bytes = 101376 - 2048;
constexpr std::size_t wide_shared_bytes = 232448 - 2048;

struct LaunchRule {
  bool early = false;  // every thread must call `await_previous`
  std::size_t most_shared_bytes = usual_shared_bytes;
};
void run_grid(const LaunchRule& rule, Grid grid, unsigned threads, std::size_t shared_bytes, void (*body)(void*), void* data);
/** Kernels run one after another here: what is looked at is that those started early do call it. */
void await_previous();
inline unsigned char* dynamic_shared_memory = nullptr;

inline void sync_block() { wait_block(); }
inline void sync_warp() { wait_warp(); }

template <class T>
T lane_value(const unsigned char* slots, unsigned lane) {
  T value;
  std::memcpy(&value, slots + 32 * lane, sizeof value);
  return value;
}
template <class T>
T shuffle(T value, unsigned lane) {
  return lane_value<T>(exchange(&value, sizeof value), lane & 31);
}
template <class T>
T shuffle_xor(T value, unsigned mask) {
  return lane_value<T>(exchange(&value, sizeof value), (threadIdx.x & 31) ^ mask);
}
/** The value of the lane `by` below; the own one in the first lanes. */
template <class T>
T shuffle_up(T value, unsigned by) {
  const unsigned lane = threadIdx.x & 31;
  return lane_value<T>(exchange(&value, sizeof value), lane >= by ? lane - by : lane);
}
inline bool all_lanes(bool value) {
  const unsigned char* slots = exchange(&value, sizeof value);
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!lane_value<bool>(slots, lane)) return false;
  }
  return true;
}

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(dynamic_shared_memory);
}
inline void atomic_add(unsigned long long* to, unsigned long long value) { *to += value; }
inline void atomic_add(std::uint32_t* to, std::uint32_t value) { *to += value; }
inline void atomic_or(std::int32_t* to, std::int32_t value) { *to |= value; }

inline float exp2_fast(float x) { return std::exp2(x); }
inline float tanh_fast(float x) { return std::tanh(x); }

struct Vector16 {
  std::uint32_t x, y, z, w;
};
inline Vector16 load16(const void* from) {
  if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0) std::abort();
  Vector16 value;
  std::memcpy(&value, from, 16);
  return value;
}
template <bool>
Vector16 load16_once(const void* from) {
  return load16(from);
}
inline void store8(float* to, float first, float second) {
  if (reinterpret_cast<std::uintptr_t>(to) % 8 != 0) std::abort();
  to[0] = first;
  to[1] = second;
}
inline void store16(void* to, Vector16 value) {
  if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0) std::abort();
  std::memcpy(to, &value, 16);
}

/** 16 bytes from global to shared memory; zeros where not `valid`. Not there before `copy_wait`. */
void copy_async(void* to, const void* from, bool valid);
void copy_commit();
void wait_copies(unsigned pending);
template <int pending>
void copy_wait() {
  wait_copies(pending);
}

/** A product of a warpgroup: runs now, or where `wait_products` needs it done. All lanes of a warp ask for the same. */
void product_async(std::function<void()> work);
void product_commit();
void wait_products(unsigned pending);

/** Four 8 × 8 matrices of 16-bit elements; lane l brings the address of row l % 8 of matrix l / 8. */
template <bool transposed>
void load_matrices(std::uint32_t (&out)[4], const void* row) {
  const unsigned char* slots = exchange(&row, sizeof row);
  const unsigned lane = threadIdx.x & 31;
  for (unsigned m = 0; m < 4; m++) {
    std::uint16_t halves[2];
    for (unsigned i = 0; i < 2; i++) {
      const unsigned from = transposed ? lane % 4 * 2 + i : lane / 4;
      const unsigned column = transposed ? lane / 4 : lane % 4 * 2 + i;
      const auto* address = lane_value<const unsigned char*>(slots, m * 8 + from);
      if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) std::abort();
      std::memcpy(&halves[i], address + 2 * column, 2);
    }
    out[m] = halves[0] | static_cast<std::uint32_t>(halves[1]) << 16;
  }
}

/** c += a · b for a [16, 16] row-major and b [16, 8] column-major (mma.m16n8k16). `Element` widens 16 bits by `from_bits`. */
template <class Element>
void multiply_accumulate(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t b0, const std::uint32_t b1) {
  const std::uint32_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const unsigned char* slots = exchange(words, sizeof words);
  const auto half = [&](unsigned lane, unsigned word, unsigned i) {
    std::uint16_t bits;
    std::memcpy(&bits, slots + 32 * lane + 4 * word + 2 * i, 2);
    return Element{bits}.widen();
  };
  const unsigned lane = threadIdx.x & 31;
  for (unsigned i = 0; i < 4; i++) {
    const unsigned row = lane / 4 + (i / 2) * 8;
    const unsigned column = lane % 4 * 2 + i % 2;
    float sum = c[i];
    for (unsigned k = 0; k < 16; k++) {
      sum += half(row % 8 * 4 + k % 8 / 2, row / 8 + 2 * (k / 8), k % 2) * half(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
    }
    c[i] = sum;
  }
}

// Runtime: what launchers need.

template <class... Parameters>
int resident_blocks(void (*)(Parameters...), unsigned, std::size_t) {
  return 4;
}

template <class... Parameters, class... Arguments>
int start_kernel_by(const LaunchRule& rule, void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream,
                      const Arguments&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, {arguments...}};
  enqueue(stream, [=]() mutable {
    run_grid(rule, grid, threads, shared_bytes, [](void* data) { std::apply(static_cast<Call*>(data)->kernel, static_cast<Call*>(data)->arguments); },
             &call);
  });
  return 0;
}

template <class... Parameters, class... Arguments>
int start_kernel_when(bool early, void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream,
                      const Arguments&... arguments) {
  return start_kernel_by({early, usual_shared_bytes}, kernel, grid, threads, shared_bytes, stream, arguments...);
}

template <class... Parameters, class... Arguments>
int start_wide_kernel(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream, const Arguments&... arguments) {
  return start_kernel_by({false, wide_shared_bytes}, kernel, grid, threads, shared_bytes, stream, arguments...);
}

template <class... Parameters, class... Arguments>
int start_kernel(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, Stream stream, const Arguments&... arguments) {
  return start_kernel_when(false, kernel, grid, threads, shared_bytes, stream, arguments...);
}

}  // namespace kvsift::emulated

#pragma once

#include "kernels/reduce.cuh"

namespace kvsift::KVSIFT_TARGET {

struct Axes {
  std::size_t size[4];
  std::size_t a[4];
  std::size_t b[4];
};

__global__ void __launch_bounds__(256) map_values(kvsift_cuda_unary_op op, const float* x, std::size_t count, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index();
  if (at < count) out[at] = apply_unary(op, x[at]);
}

__global__ void __launch_bounds__(256) zip_values(kvsift_cuda_binary_op op, const float* a, const float* b, float scalar,
                                                  const Axes axes, std::size_t count, float* out) {
  await_previous();
  const std::size_t at = thread_index();
  if (at >= count) return;
  std::size_t rest = at;
  std::size_t from_a = 0;
  std::size_t from_b = 0;
#pragma unroll
  for (int axis = 3; axis >= 0; axis--) {
    const std::size_t index = rest % axes.size[axis];
    rest /= axes.size[axis];
    from_a += index * axes.a[axis];
    from_b += index * axes.b[axis];
  }
  out[at] = apply_binary(op, a[from_a], b == nullptr ? scalar : b[from_b]);
}

/** 32 results per block. Grid: strips of each `after`. */
__global__ void __launch_bounds__(strip_threads) reduce_strips(kvsift_cuda_reduce_op op, const float* x, std::size_t size, std::size_t after,
                                                               float* __restrict__ out) {
  await_previous();
  const std::size_t strips = (after + 31) / 32;
  const std::size_t outer = blockIdx.x / strips;
  const std::size_t column = blockIdx.x % strips * 32 + threadIdx.x % 32;
  const float* from = x + outer * size * after + column;
  const float reduced = reduce_strip(op, column < after ? size : 0, [=](std::size_t i) { return from[i * after]; });
  if (threadIdx.x < 32 && column < after) out[outer * after + column] = reduced;
}

/** One result per thread. */
__global__ void __launch_bounds__(256) reduce_across(kvsift_cuda_reduce_op op, const float* x, std::size_t before, std::size_t size,
                                                     std::size_t after, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index();
  if (at >= before * after) return;
  const float* from = x + at / after * size * after + at % after;
  out[at] = reduce_alone(op, size, [=](std::size_t i) { return from[i * after]; });
}

/** One result per warp. */
__global__ void __launch_bounds__(256) reduce_axis(kvsift_cuda_reduce_op op, const float* x, std::size_t before, std::size_t size,
                                                   std::size_t after, float* __restrict__ out) {
  await_previous();
  const std::size_t at = thread_index() / 32;
  if (at >= before * after) return;
  const float* from = x + at / after * size * after + at % after;
  const float reduced = reduce_together(op, size, [=](std::size_t i) { return from[i * after]; });
  if (threadIdx.x % 32 == 0) out[at] = reduced;
}

/** One block per row. */
__global__ void __launch_bounds__(256) softmax_rows(const float* __restrict__ x, std::size_t columns, float* __restrict__ out) {
  __shared__ float room[33];
  const float* from = x + blockIdx.x * columns;
  float top = lowest;
  for (std::size_t c = threadIdx.x; c < columns; c += blockDim.x) top = fmaxf(top, from[c]);
  top = block_max(top, room);
  float sum = 0;
  for (std::size_t c = threadIdx.x; c < columns; c += blockDim.x) sum += expf(from[c] - top);
  sum = block_sum(sum, room);
  for (std::size_t c = threadIdx.x; c < columns; c += blockDim.x) out[blockIdx.x * columns + c] = expf(from[c] - top) / sum;
}

/** One block per row. */
__global__ void __launch_bounds__(256) cumsum_rows(const float* __restrict__ x, std::size_t columns, float* __restrict__ out) {
  __shared__ double room[33];
  double before = 0;
  for (std::size_t base = 0; base < columns; base += blockDim.x) {
    const std::size_t at = base + threadIdx.x;
    const double value = at < columns ? static_cast<double>(x[blockIdx.x * columns + at]) : 0.0;
    double total;
    const double sum = before + block_sum_before(value, room, total) + value;
    before += total;
    if (at < columns) out[blockIdx.x * columns + at] = static_cast<float>(sum);
  }
}

constexpr unsigned rank_threads = 256;

/** Stable radix sort of a row's indices by value, 4 bits at a time, then the inverse. One block per row; `order` [rows, 2, columns] is scratch. */
__global__ void __launch_bounds__(rank_threads) rank_rows(const float* __restrict__ x, int columns, std::int32_t* __restrict__ order,
                                                          float* __restrict__ out) {
  __shared__ int places[16 * rank_threads];
  __shared__ int room[33];
  const float* row = x + static_cast<std::size_t>(blockIdx.x) * columns;
  std::int32_t* from = order + static_cast<std::size_t>(blockIdx.x) * 2 * columns;
  std::int32_t* to = from + columns;
  const int share = (columns + static_cast<int>(rank_threads) - 1) / static_cast<int>(rank_threads);
  const int begin = static_cast<int>(threadIdx.x) * share;
  const int end = begin + share < columns ? begin + share : columns;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(rank_threads)) from[i] = i;
  for (int shift = 0; shift < 32; shift += 4) {
    for (unsigned digit = 0; digit < 16; digit++) places[digit * rank_threads + threadIdx.x] = 0;
    sync_block();
    for (int i = begin; i < end; i++) places[(ascending(row[from[i]]) >> shift & 15u) * rank_threads + threadIdx.x]++;
    sync_block();
    int own = 0;
    for (unsigned i = 0; i < 16; i++) own += places[threadIdx.x * 16 + i];
    int total;
    int before = block_sum_before(own, room, total);
    for (unsigned i = 0; i < 16; i++) {
      const int count = places[threadIdx.x * 16 + i];
      places[threadIdx.x * 16 + i] = before;
      before += count;
    }
    sync_block();
    for (int i = begin; i < end; i++) to[places[(ascending(row[from[i]]) >> shift & 15u) * rank_threads + threadIdx.x]++] = from[i];
    sync_block();
    std::int32_t* other = from;
    from = to;
    to = other;
  }
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(rank_threads)) {
    out[static_cast<std::size_t>(blockIdx.x) * columns + from[i]] = static_cast<float>(i);
  }
}

constexpr int matmul_tile = 16;

/** f32 products, one element per thread, 16 × 16 tiles; b as it is stored. Grid: columns, rows, matrices. */
template <class Element>
__global__ void __launch_bounds__(256) matmul_work(const kvsift_cuda_matmul_shape shape, const float* a, const Element* b,
                                                   float* __restrict__ out) {
  await_previous();
  __shared__ float left[matmul_tile][matmul_tile + 1];
  __shared__ float right[matmul_tile][matmul_tile + 1];
  const std::size_t matrix = blockIdx.z;
  const std::size_t outer = matrix / shape.lead[1];
  const std::size_t inner_lead = matrix % shape.lead[1];
  const float* from_a = a + (outer * shape.a_steps[0] + inner_lead * shape.a_steps[1]) * shape.rows * shape.inner;
  const Element* from_b = b + (outer * shape.b_steps[0] + inner_lead * shape.b_steps[1]) * shape.inner * shape.columns;
  const std::size_t x = threadIdx.x % matmul_tile;
  const std::size_t y = threadIdx.x / matmul_tile;
  const std::size_t row = static_cast<std::size_t>(blockIdx.y) * matmul_tile + y;
  const std::size_t column = static_cast<std::size_t>(blockIdx.x) * matmul_tile + x;
  float sum = 0;
  for (std::size_t k = 0; k < shape.inner; k += matmul_tile) {
    left[y][x] = row < shape.rows && k + x < shape.inner ? from_a[row * shape.inner + k + x] : 0.0f;
    if (shape.transpose_b != 0) {
      const std::size_t own = static_cast<std::size_t>(blockIdx.x) * matmul_tile + y;
      right[x][y] = own < shape.columns && k + x < shape.inner ? from_b[own * shape.inner + k + x].widen() : 0.0f;
    } else {
      right[y][x] = column < shape.columns && k + y < shape.inner ? from_b[(k + y) * shape.columns + column].widen() : 0.0f;
    }
    sync_block();
#pragma unroll
    for (int i = 0; i < matmul_tile; i++) {
      if (k + i < shape.inner) sum = fmaf(left[y][i], right[i][x], sum);
    }
    sync_block();
  }
  if (row < shape.rows && column < shape.columns) out[(matrix * shape.rows + row) * shape.columns + column] = sum;
}

/** `Unit` bytes at a time. */
template <class Unit>
__global__ void __launch_bounds__(256) copy_units(const Unit* from, std::size_t from_step, Unit* __restrict__ to, std::size_t to_step,
                                                  std::size_t units, std::size_t count) {
  await_previous();
  const std::size_t at = thread_index();
  if (at < units * count) to[at / units * to_step + at % units] = from[at / units * from_step + at % units];
}

/** `axes.a`: step in x of each axis of the result. */
template <class Unit>
__global__ void __launch_bounds__(256) transpose_units(const Unit* __restrict__ x, const Axes axes, std::size_t count, Unit* __restrict__ out) {
  const std::size_t at = thread_index();
  if (at >= count) return;
  std::size_t rest = at;
  std::size_t from = 0;
#pragma unroll
  for (int axis = 3; axis >= 0; axis--) {
    from += rest % axes.size[axis] * axes.a[axis];
    rest /= axes.size[axis];
  }
  out[at] = x[from];
}

__global__ void __launch_bounds__(256) float_values(kvsift_cuda_dtype type, const void* __restrict__ x, std::size_t count, float* __restrict__ out) {
  const std::size_t at = thread_index();
  if (at >= count) return;
  switch (type) {
    case KVSIFT_CUDA_F32: out[at] = static_cast<const float*>(x)[at]; break;
    case KVSIFT_CUDA_F16: out[at] = static_cast<const F16*>(x)[at].widen(); break;
    case KVSIFT_CUDA_BF16: out[at] = static_cast<const BF16*>(x)[at].widen(); break;
    case KVSIFT_CUDA_I32: out[at] = static_cast<float>(static_cast<const std::int32_t*>(x)[at]); break;
    default: out[at] = static_cast<float>(static_cast<const unsigned char*>(x)[at]); break;
  }
}

__global__ void __launch_bounds__(256) integer_values(const float* __restrict__ x, std::size_t count, std::int32_t* __restrict__ out) {
  const std::size_t at = thread_index();
  if (at < count) out[at] = to_integer(x[at]);
}

}  // namespace kvsift::KVSIFT_TARGET

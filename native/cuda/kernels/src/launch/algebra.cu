#include "launch/algebra.h"

#include <algorithm>

#include "kernels/algebra.cuh"

namespace kvsift::KVSIFT_TARGET {

namespace {

Grid cover(const Launch& launch, std::size_t count) { return {blocks_for(launch, count, 256), 1, 1}; }

void check_pair(const Launch& launch, const void* x, const void* out) {
  launch.pointer(x, "x", 1);
  launch.pointer(out, "out", 1);
}

}  // namespace

void map(const Launch& launch, kvsift_cuda_unary_op op, const float* x, std::size_t count, float* out) {
  launch.require(op >= KVSIFT_CUDA_EXP && op <= KVSIFT_CUDA_ISFINITE, KVSIFT_CUDA_INVALID_ARGUMENT, "no such op");
  if (count == 0) return;
  check_pair(launch, x, out);
  launch.start_early(map_values, cover(launch, count), 256, 0, op, x, count, out);
}

void zip(const Launch& launch, kvsift_cuda_binary_op op, const float* a, const std::size_t* a_steps, const float* b, const std::size_t* b_steps,
         const std::size_t* shape, float* out) {
  launch.require(op >= KVSIFT_CUDA_ADD && op <= KVSIFT_CUDA_LESS, KVSIFT_CUDA_INVALID_ARGUMENT, "no such op");
  Axes axes{};
  std::size_t count = 1;
  for (int axis = 0; axis < 4; axis++) {
    axes.size[axis] = shape[axis];
    axes.a[axis] = a_steps[axis];
    axes.b[axis] = b_steps[axis];
    count *= shape[axis];
  }
  if (count == 0) return;
  check_pair(launch, a, out);
  launch.pointer(b, "b", 4);
  launch.start_early(zip_values, cover(launch, count), 256, 0, op, a, b, 0.0f, axes, count, out);
}

void zip_scalar(const Launch& launch, kvsift_cuda_binary_op op, const float* a, float b, std::size_t count, float* out) {
  launch.require(op >= KVSIFT_CUDA_ADD && op <= KVSIFT_CUDA_LESS, KVSIFT_CUDA_INVALID_ARGUMENT, "no such op");
  if (count == 0) return;
  check_pair(launch, a, out);
  const Axes axes{{1, 1, 1, count}, {0, 0, 0, 1}, {0, 0, 0, 0}};
  launch.start_early(zip_values, cover(launch, count), 256, 0, op, a, static_cast<const float*>(nullptr), b, axes, count, out);
}

void reduce(const Launch& launch, kvsift_cuda_reduce_op op, const float* x, std::size_t before, std::size_t size, std::size_t after, float* out) {
  launch.require(op >= KVSIFT_CUDA_REDUCE_SUM && op <= KVSIFT_CUDA_REDUCE_VARIANCE, KVSIFT_CUDA_INVALID_ARGUMENT, "no such op");
  if (before * after == 0) return;
  launch.pointer(out, "out", 4);
  if (size > 0) launch.pointer(x, "x", 4);
  switch (reduce_way(size, after, before * after)) {
    case ReduceWay::strip:
      return launch.start_early(reduce_strips, Grid{blocks_for(launch, before * ceil_div(after, 32), 1), 1, 1}, strip_threads, 0, op, x, size, after, out);
    case ReduceWay::alone: return launch.start_early(reduce_across, cover(launch, before * after), 256, 0, op, x, before, size, after, out);
    default: launch.start_early(reduce_axis, Grid{blocks_for(launch, before * after, 8), 1, 1}, 256, 0, op, x, before, size, after, out);
  }
}

void softmax(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, float* out) {
  if (rows * columns == 0) return;
  check_pair(launch, x, out);
  launch.check(start_kernel(softmax_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, 256, 0, launch.stream, x, columns, out));
}

void cumsum(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, float* out) {
  if (rows * columns == 0) return;
  check_pair(launch, x, out);
  launch.check(start_kernel(cumsum_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, 256, 0, launch.stream, x, columns, out));
}

void rank(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, float* out) {
  launch.require(columns < 0x7fffff00, KVSIFT_CUDA_UNSUPPORTED, "too many columns");
  if (rows * columns == 0) return;
  check_pair(launch, x, out);
  const Scratch order(launch, 2 * rows * columns * sizeof(std::int32_t));
  launch.check(start_kernel(rank_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, rank_threads, 0, launch.stream, x, static_cast<int>(columns),
                            order.as<std::int32_t>(), out));
}

void matmul(const Launch& launch, const kvsift_cuda_matmul_shape& shape, const float* a, kvsift_cuda_dtype type, const void* b, float* out) {
  launch.require(type == KVSIFT_CUDA_F32 || type == KVSIFT_CUDA_F16 || type == KVSIFT_CUDA_BF16, KVSIFT_CUDA_DTYPE_MISMATCH, "b must be f32, f16 or bf16");
  const std::size_t matrices = shape.lead[0] * shape.lead[1];
  const std::size_t row_tiles = ceil_div(shape.rows, matmul_tile);
  if (matrices * shape.rows * shape.columns == 0) return;
  launch.require(matrices <= 65535 && row_tiles <= 65535, KVSIFT_CUDA_UNSUPPORTED, "too many matrices or rows");
  launch.pointer(out, "out", 4);
  if (shape.inner > 0) {
    launch.pointer(a, "a", 4);
    launch.pointer(b, "b", type == KVSIFT_CUDA_F32 ? 4 : 2);
  }
  const Grid grid{blocks_for(launch, shape.columns, matmul_tile), static_cast<unsigned>(row_tiles), static_cast<unsigned>(matrices)};
  const auto start = [&]<class Element>(const Element* right) { launch.start_early(matmul_work<Element>, grid, 256, 0, shape, a, right, out); };
  if (type == KVSIFT_CUDA_F32) return start(static_cast<const F32*>(b));
  if (type == KVSIFT_CUDA_F16) return start(static_cast<const F16*>(b));
  start(static_cast<const BF16*>(b));
}

void copy_pieces(const Launch& launch, const void* from, std::size_t from_stride, void* to, std::size_t to_stride, std::size_t bytes, std::size_t count) {
  if (bytes * count == 0) return;
  check_pair(launch, from, to);
  const std::size_t common = reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to) | from_stride | to_stride | bytes;
  const auto start = [&]<class Unit>(Unit) {
    constexpr std::size_t size = sizeof(Unit);
    launch.start_early(copy_units<Unit>, cover(launch, bytes / size * count), 256, 0, static_cast<const Unit*>(from), from_stride / size,
                       static_cast<Unit*>(to), to_stride / size, bytes / size, count);
  };
  if (common % 16 == 0) return start(Vector16{});
  if (common % 4 == 0) return start(std::uint32_t{});
  start(static_cast<unsigned char>(0));
}

void transpose(const Launch& launch, const void* x, std::size_t size, const std::size_t* shape, const std::size_t* order, void* out) {
  launch.require(size == 1 || size == 2 || size == 4, KVSIFT_CUDA_DTYPE_MISMATCH, "elements have 1, 2 or 4 bytes");
  std::size_t steps[4];
  std::size_t count = 1;
  for (int axis = 3; axis >= 0; axis--) {
    steps[axis] = count;
    count *= shape[axis];
  }
  Axes axes{};
  unsigned seen = 0;
  for (int axis = 0; axis < 4; axis++) {
    launch.require(order[axis] < 4 && (seen >> order[axis] & 1u) == 0, KVSIFT_CUDA_INVALID_ARGUMENT, "the order must name each axis once");
    seen |= 1u << order[axis];
    axes.size[axis] = shape[order[axis]];
    axes.a[axis] = steps[order[axis]];
  }
  if (count == 0) return;
  check_pair(launch, x, out);
  const auto start = [&]<class Unit>(Unit) {
    launch.check(start_kernel(transpose_units<Unit>, cover(launch, count), 256, 0, launch.stream, static_cast<const Unit*>(x), axes, count,
                              static_cast<Unit*>(out)));
  };
  if (size == 4) return start(std::uint32_t{});
  if (size == 2) return start(std::uint16_t{});
  start(static_cast<unsigned char>(0));
}

void to_float(const Launch& launch, kvsift_cuda_dtype type, const void* x, std::size_t count, float* out) {
  launch.require(type >= KVSIFT_CUDA_F32 && type <= KVSIFT_CUDA_U8, KVSIFT_CUDA_DTYPE_MISMATCH, "only element types become f32");
  if (count == 0) return;
  check_pair(launch, x, out);
  launch.check(start_kernel(float_values, cover(launch, count), 256, 0, launch.stream, type, x, count, out));
}

void to_int(const Launch& launch, const float* x, std::size_t count, std::int32_t* out) {
  if (count == 0) return;
  check_pair(launch, x, out);
  launch.check(start_kernel(integer_values, cover(launch, count), 256, 0, launch.stream, x, count, out));
}

}  // namespace kvsift::KVSIFT_TARGET

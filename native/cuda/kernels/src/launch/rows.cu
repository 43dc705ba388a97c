#include "launch/rows.h"

#include <algorithm>

#include "kernels/rows.cuh"
#include "kernels/sample.cuh"

namespace kvsift::KVSIFT_TARGET {

namespace {
constexpr std::size_t largest = 0x7fffffff - 4096;

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }
}  // namespace

#ifndef KVSIFT_EMULATED
kvsift_cuda_status compiled_for(int& target) {
  cudaFuncAttributes attributes{};
  // All kernels are compiled for the same targets.
  const cudaError_t error = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(norm_rows<float>));
  target = attributes.ptxVersion;
  if (error == cudaSuccess) return KVSIFT_CUDA_OK;
  cudaGetLastError();
  const bool none = error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction || error == cudaErrorUnsupportedPtxVersion ||
                    error == cudaErrorJitCompilerNotFound;
  return none ? KVSIFT_CUDA_UNSUPPORTED : KVSIFT_CUDA_DEVICE_ERROR;
}
#endif

void rms_norm(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, const float* weight, float epsilon, float weight_offset,
              float* out) {
  launch.require(columns <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many columns");
  if (rows * columns == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(weight, "weight", 4);
  launch.pointer(out, "out", 4);
  const bool wide = columns % 4 == 0 && aligned(x) && aligned(weight) && aligned(out);
  const std::size_t parts = wide ? columns / 4 : columns;
  // Few rows: more threads for each.
  const unsigned threads = rows < 512 && parts > 256 ? norm_threads : 256;
  const auto start = [&]<class Part>(const Part* from, const Part* factors, Part* to) {
    launch.start_early(norm_rows<Part>, Grid{blocks_for(launch, rows, 1), 1, 1}, threads, 0, from, static_cast<int>(parts), factors, epsilon,
                       weight_offset, to);
  };
  if (!wide) return start(x, weight, out);
  start(reinterpret_cast<const Vector16*>(x), reinterpret_cast<const Vector16*>(weight), reinterpret_cast<Vector16*>(out));
}

void gated(const Launch& launch, const float* x, std::size_t rows, std::size_t half, kvsift_cuda_activation activation, float* out) {
  launch.require(activation >= KVSIFT_CUDA_SILU && activation <= KVSIFT_CUDA_GELU, KVSIFT_CUDA_INVALID_ARGUMENT, "no such activation");
  if (rows * half == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(out, "out", 4);
  launch.require(half <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many columns");
  const auto start = [&]<class Part>(const Part* from, Part* to, std::size_t parts) {
    const Grid grid{blocks_for(launch, parts, 256), static_cast<unsigned>(std::min<std::size_t>(rows, 65535)), 1};
    launch.start_early(gate_rows<Part>, grid, 256, 0, from, rows, static_cast<unsigned>(parts), activation, to);
  };
  if (half % 4 != 0 || !aligned(x) || !aligned(out)) return start(x, out, half);
  start(reinterpret_cast<const Vector16*>(x), reinterpret_cast<Vector16*>(out), half / 4);
}

void softcap(const Launch& launch, const float* x, std::size_t count, float cap, float* out) {
  launch.require(cap > 0, KVSIFT_CUDA_INVALID_ARGUMENT, "the cap must be above 0");
  if (count == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(out, "out", 4);
  launch.start_early(cap_values, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, x, count, cap, out);
}

void rope(const Launch& launch, const float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, const std::int32_t* positions,
          const float* inverse_frequencies, std::size_t rotary, float scale, float* out) {
  launch.require(rotary % 2 == 0 && rotary <= head_dim, KVSIFT_CUDA_SHAPE_MISMATCH, "the rotary part must be even and within the head dim");
  launch.require(heads * head_dim <= largest && rotary <= 4096, KVSIFT_CUDA_UNSUPPORTED, "too many channels");
  if (rows * heads * head_dim == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(positions, "positions", 4);
  if (rotary > 0) launch.pointer(inverse_frequencies, "inverse_frequencies", 4);
  launch.pointer(out, "out", 4);
  const std::size_t shares = std::min(heads, std::max<std::size_t>(1, 4 * static_cast<std::size_t>(launch.context.multiprocessors) / rows));
  const Grid grid{blocks_for(launch, rows, 1), static_cast<unsigned>(std::min<std::size_t>(shares, 65535)), 1};
  launch.start_early(rope_rows, grid, 256, rotary / 2 * sizeof(Rotation), x, static_cast<int>(heads), static_cast<int>(head_dim),
                     positions, inverse_frequencies, static_cast<int>(rotary / 2), scale, out);
}

void split_columns(const Launch& launch, const float* x, std::size_t rows, std::size_t count, const std::size_t* widths, float* const* out) {
  std::size_t columns = 0;
  bool wide = aligned(x);
  for (std::size_t i = 0; i < count; i++) {
    columns += widths[i];
    wide = wide && widths[i] % 4 == 0 && aligned(out[i]);
    if (rows * widths[i] > 0) launch.pointer(out[i], "out", 4);
  }
  launch.require(columns <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many columns");
  if (rows * columns == 0) return;
  launch.pointer(x, "x", 4);
  const auto start = [&]<class Unit>(const Unit* from) {
    constexpr std::size_t size = sizeof(Unit) / sizeof(float);
    const auto step = static_cast<unsigned>(columns / size);
    for (std::size_t first = 0; first < count; first += split_parts) {
      SplitArguments a{};
      unsigned units = 0;
      for (std::size_t i = first; i < count && i < first + split_parts; i++) {
        a.out[i - first] = out[i];
        a.widths[i - first] = static_cast<unsigned>(widths[i] / size);
        units += a.widths[i - first];
      }
      const Grid grid{blocks_for(launch, units, 256), static_cast<unsigned>(std::min<std::size_t>(rows, 65535)), 1};
      if (units > 0) launch.start_early(split_rows<Unit>, grid, 256, 0, from, units, step, rows, a);
      from += units;
    }
  };
  wide ? start(reinterpret_cast<const Vector16*>(x)) : start(x);
}

void sample(const Launch& launch, const float* logits, std::size_t rows, std::size_t vocabulary, const kvsift_cuda_sampling_rule* rules,
            std::int32_t* ids, float* log_probs) {
  launch.require(vocabulary > 0, KVSIFT_CUDA_SHAPE_MISMATCH, "the vocabulary is empty");
  launch.require(vocabulary <= std::size_t{1} << (63 - sample_bits), KVSIFT_CUDA_UNSUPPORTED, "more than 1048576 tokens");
  if (rows == 0) return;
  launch.pointer(logits, "logits", 4);
  launch.pointer(rules, "rules", alignof(kvsift_cuda_sampling_rule));
  launch.pointer(ids, "ids", 4);
  launch.pointer(log_probs, "log_probs", 4);
  const std::size_t shares = std::min<std::size_t>(sample_shares, ceil_div(vocabulary, sample_threads));
  const Scratch weights(launch, rows * vocabulary * sizeof(Count));
  const Scratch bests(launch, rows * shares * sizeof(SampleShare));
  const Grid grid{static_cast<unsigned>(shares), static_cast<unsigned>(std::min<std::size_t>(rows, 65535)), 1};
  launch.start_early(sample_bests, grid, sample_threads, 0, logits, static_cast<int>(vocabulary), rows, bests.as<SampleShare>());
  launch.start_early(sample_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, sample_threads, 0, logits, static_cast<int>(vocabulary), rules,
                     bests.as<SampleShare>(), static_cast<int>(shares), weights.as<Count>(), ids, log_probs);
}

}  // namespace kvsift::KVSIFT_TARGET

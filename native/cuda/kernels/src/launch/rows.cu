#include "launch/rows.h"

#include "kernels/rows.cuh"
#include "kernels/sample.cuh"

namespace kvsift::KVSIFT_TARGET {

namespace {
constexpr std::size_t largest = 0x7fffffff - 4096;
}

void rms_norm(const Launch& launch, const float* x, std::size_t rows, std::size_t columns, const float* weight, float epsilon, float weight_offset,
              float* out) {
  launch.require(columns <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many columns");
  if (rows * columns == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(weight, "weight", 4);
  launch.pointer(out, "out", 4);
  launch.check(start_kernel(norm_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, 256, 0, launch.stream, x, static_cast<int>(columns), weight, epsilon,
                            weight_offset, out));
}

void gated(const Launch& launch, const float* x, std::size_t rows, std::size_t half, kvsift_cuda_activation activation, float* out) {
  launch.require(activation >= KVSIFT_CUDA_SILU && activation <= KVSIFT_CUDA_GELU, KVSIFT_CUDA_INVALID_ARGUMENT, "no such activation");
  const std::size_t count = rows * half;
  if (count == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(out, "out", 4);
  launch.check(start_kernel(gate_rows, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, x, count, half, activation, out));
}

void softcap(const Launch& launch, const float* x, std::size_t count, float cap, float* out) {
  launch.require(cap > 0, KVSIFT_CUDA_INVALID_ARGUMENT, "the cap must be above 0");
  if (count == 0) return;
  launch.pointer(x, "x", 4);
  launch.pointer(out, "out", 4);
  launch.check(start_kernel(cap_values, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, x, count, cap, out));
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
  launch.check(start_kernel(rope_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, 256, rotary / 2 * sizeof(Rotation), launch.stream, x,
                            static_cast<int>(heads), static_cast<int>(head_dim), positions, inverse_frequencies, static_cast<int>(rotary / 2), scale, out));
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
  const Scratch weights(launch, rows * vocabulary * sizeof(Count));
  launch.check(start_kernel(sample_rows, Grid{blocks_for(launch, rows, 1), 1, 1}, sample_threads, 0, launch.stream, logits, static_cast<int>(vocabulary),
                            rules, weights.as<Count>(), ids, log_probs));
}

}  // namespace kvsift::KVSIFT_TARGET

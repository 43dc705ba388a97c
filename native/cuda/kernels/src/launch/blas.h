#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "launch/context.h"

namespace kvsift::KVSIFT_TARGET {

/** Files to try for cuBLASLt, in order: KVSIFT_CUBLAS, the loader's own search, CUDA_PATH, /usr/local/cuda, conda's and pip's folders. */
std::vector<std::string> blas_candidates();

/** cuBLASLt, loaded at run time. */
class Blas {
 public:
  /** Null where no candidate loads; `tried` then lists them. */
  static std::unique_ptr<Blas> load(std::string& tried);
  ~Blas();
  const std::string& path() const { return path_; }
  /**
   * out [rows, outputs] = x [rows, depth] · wᵀ (+ residual [rows, outputs], may be null or out), bf16 to f32.
   * @return false where cuBLASLt has no algorithm for this: nothing was enqueued
   * @throws Refusal
   */
  bool multiply(const Launch& launch, const void* x, const void* w, std::size_t rows, std::size_t outputs, std::size_t depth, const float* residual,
                float* out) const;

 private:
  struct Functions;
  Blas();
  std::unique_ptr<Functions> functions_;
  std::string path_;
};

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include <vector>

#include "launch/attention.h"

namespace kvsift::KVSIFT_TARGET {

/**
 * Attention kernels take heads in steps of 8 channels. Others (toy models) are copied to rows with zeros behind them, which change no product; the copy
 * lives as long as this object. Heads that fit already are left alone.
 */
class WideHeads {
 public:
  /**
   * @param parts whose views are replaced; their lengths can be trusted
   * @param vectors query vectors of q [vectors, head_dim]
   */
  WideHeads(const Launch& launch, std::vector<SightedRows>& parts, const float* q, std::size_t vectors);

  const float* q() const { return q_; }
  /** Where the kernels write what is meant for `out` [vectors, head_dim]. */
  float* results(float* out) const { return wide_out_ != nullptr ? wide_out_ : out; }
  /** Brings it there. */
  void finish(float* out) const;

 private:
  static std::size_t bytes_of(const std::vector<SightedRows>& parts, std::size_t vectors);
  /** The next piece of the memory. */
  void* take(std::size_t bytes);
  KvView widen(const KvView& view);

  const Launch& launch_;
  const Scratch memory_;
  std::size_t used_ = 0;
  const float* q_;
  float* wide_out_ = nullptr;
  std::size_t vectors_;
  std::size_t head_dim_ = 0;
  std::size_t step_ = 0;
};

}  // namespace kvsift::KVSIFT_TARGET

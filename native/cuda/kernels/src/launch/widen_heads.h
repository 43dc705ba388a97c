#pragma once

#include <span>
#include <vector>

#include "launch/attention.h"

namespace kvsift::KVSIFT_TARGET {

/** Dense copies of views with another element type or more channels, all in one piece of scratch memory. */
class PlainViews {
 public:
  /** @param views whose copies are to be made */
  PlainViews(const Launch& launch, std::span<const SightedRows> parts, kvsift_cuda_dtype type, std::size_t head_dim, std::size_t beside);

  KvView copy(const KvView& view);
  /** The next piece of what was asked for beside the copies. */
  void* take(std::size_t bytes);
  static std::size_t rounded(std::size_t bytes);

 private:
  static std::size_t bytes_of(std::span<const SightedRows> parts, kvsift_cuda_dtype type, std::size_t head_dim);

  const Launch& launch_;
  const Scratch memory_;
  const kvsift_cuda_dtype type_;
  const std::size_t head_dim_;
  std::size_t used_ = 0;
};

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
  const Launch& launch_;
  const std::size_t head_dim_;
  const std::size_t step_;
  const std::size_t vectors_;
  PlainViews views_;
  const float* q_;
  float* wide_out_ = nullptr;
};

/** A view as the tile kernels would read it: blocks of bytes as halves. */
KvView as_halves(KvView view);

/** Blocks of bytes as halves, for kernels that read tiles; other views are left alone. The copy lives as long as this object. */
class HalfViews {
 public:
  HalfViews(const Launch& launch, std::vector<SightedRows>& parts);

 private:
  PlainViews views_;
};

}  // namespace kvsift::KVSIFT_TARGET

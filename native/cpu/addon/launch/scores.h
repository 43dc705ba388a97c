#pragma once

#include <optional>

#include "launch/backend.h"
#include "ops/random.h"

namespace kvsift::launch {

struct TopOptions {
  /** i32 [kvHeads], or absent: `keep` of each head. */
  std::optional<Tensor> counts;
  std::size_t keep = 0;
  std::size_t total = 0;
  std::size_t max = 0;
  std::size_t protect_first = 0;
  std::size_t protect_last = 0;
  std::optional<Tensor> protect;
};

struct Selected {
  Tensor indices;
  Tensor offsets;
};

Selected top(Backend& backend, const Tensor& scores, const TopOptions& options);
Tensor top_shares(Backend& backend, const Tensor& scores, std::size_t total);
Tensor round_shares(Backend& backend, const Tensor& shares, std::size_t total, std::size_t cap);
Tensor uniform(Backend& backend, const ops::RandomKey& key, std::size_t rows, std::size_t columns);

}  // namespace kvsift::launch

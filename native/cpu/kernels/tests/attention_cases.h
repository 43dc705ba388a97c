#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "check.h"
#include "kvsift/attention.h"

namespace kvsift::tests {

enum class Layout { dense, paged };

/** A view with storage of its own, filled at random; positions ascend with gaps. */
struct Cache {
  KvView view;
  std::vector<std::byte> keys, values;
  std::vector<std::int32_t> lengths, starts, positions, table;
  /** As stored, widened: [head][slot][dim]. */
  std::vector<std::vector<float>> key_values, value_values;
  std::vector<std::vector<std::int32_t>> slot_positions;

  Cache(Context& context, DType type, std::size_t dim, const std::vector<std::size_t>& held, Layout layout, unsigned seed) {
    const std::size_t heads = held.size();
    const std::size_t most = *std::max_element(held.begin(), held.end());
    const std::size_t block = 16;
    const std::size_t per_head = (most + block - 1) / block + 1;
    const std::size_t rows = heads * per_head * block + 5;
    keys.resize(rows * row_bytes(type, dim), std::byte{0xff});
    values.resize(keys.size(), std::byte{0xff});
    positions.resize(rows, -1);
    lengths.assign(heads, 0);
    for (std::size_t g = 0; g < heads; g++) starts.push_back(static_cast<std::int32_t>(g * per_head * block + 3));
    view = {type, heads, dim, keys.data(), values.data(), lengths.data(), starts.data(), positions.data(), nullptr, 0, 0};
    if (layout == Layout::paged) {
      for (std::size_t i = 0; i < heads * per_head; i++) table.push_back(static_cast<std::int32_t>((i * 7) % (heads * per_head)));
      if (heads * per_head % 7 == 0) std::iota(table.begin(), table.end(), 0);
      view.table = table.data();
      view.block_size = block;
      view.blocks_per_head = per_head;
    }
    key_values.resize(heads);
    value_values.resize(heads);
    slot_positions.resize(heads);
    for (std::size_t g = 0; g < heads; g++) {
      // One head at a time through kv_append: a view that shows just this head.
      KvView one = view;
      one.kv_heads = 1;
      one.lengths = &lengths[g];
      one.starts = &starts[g];
      if (one.table != nullptr) one.table += g * per_head;
      const std::vector<float> k = random_values(held[g] * dim, seed + static_cast<unsigned>(g), 3);
      const std::vector<float> v = random_values(held[g] * dim, seed + 50 + static_cast<unsigned>(g), 3);
      for (std::size_t slot = 0; slot < held[g]; slot++) slot_positions[g].push_back(static_cast<std::int32_t>(slot * 2 + slot % 2));
      const KvSegment segment{one, held[g]};
      kv_append(context, std::span(&segment, 1), k.data(), v.data(), slot_positions[g].data());
      key_values[g] = stored(type, k);
      value_values[g] = stored(type, v);
    }
  }

  /** Values as a cache of this type holds them. */
  static std::vector<float> stored(DType type, const std::vector<float>& values) {
    std::vector<float> out;
    for (std::size_t at = 0; at < values.size(); at++) {
      const float value = values[at];
      if (type != DType::q8_0) {
        out.push_back(type == DType::f32 ? value : type == DType::f16 ? f16_to_f32(f32_to_f16(value)) : bf16_to_f32(f32_to_bf16(value)));
        continue;
      }
      float top = 0;
      for (std::size_t i = at / 32 * 32; i < at / 32 * 32 + 32; i++) top = std::max(top, std::abs(values[i]));
      out.push_back(f16_to_f32(f32_to_f16(top / 127)) * std::nearbyint(value * (127 / top)));
    }
    return out;
  }
};

/** Base logits of one query in float64; −∞ where it may not look. */
inline std::vector<double> logits_of(const Cache& cache, std::size_t g, const float* q, const AttentionShape& shape, std::int64_t end, std::int32_t position) {
  const std::size_t dim = cache.view.head_dim;
  const std::size_t n = cache.slot_positions[g].size();
  std::vector<double> logits(n, -std::numeric_limits<double>::infinity());
  for (std::size_t slot = 0; slot < n && static_cast<std::int64_t>(slot) < end; slot++) {
    if (shape.window > 0 && cache.slot_positions[g][slot] <= position - shape.window) continue;
    double dot = 0;
    for (std::size_t c = 0; c < dim; c++) dot += static_cast<double>(q[c]) * cache.key_values[g][slot * dim + c];
    dot *= shape.scale;
    logits[slot] = shape.softcap > 0 ? shape.softcap * std::tanh(dot / shape.softcap) : dot;
  }
  return logits;
}

inline double log_sum_of(const std::vector<double>& logits) {
  double top = -std::numeric_limits<double>::infinity();
  for (const double value : logits) top = std::max(top, value);
  if (std::isinf(top)) return top;
  double sum = 0;
  for (const double value : logits) sum += std::exp(value - top);
  return top + std::log(sum);
}

}  // namespace kvsift::tests

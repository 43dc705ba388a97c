#include "attention_tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace kvsift {

namespace {

constexpr float log2_e = 1.44269504088896341F;

/** Cuts pieces of whole cache lines off a piece of memory, or only counts them. */
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : memory_(memory) {}

  template <class T>
  T* take(std::size_t count) {
    std::byte* piece = memory_ != nullptr ? memory_ + used_ : nullptr;
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

std::size_t lay_out(std::byte* memory, TileWork& work) {
  Pieces pieces(memory);
  const std::size_t words = work.pairs ? (work.head_dim + 1) / 2 : work.head_dim;
  const std::size_t panels = (work.head_dim + panel_rows - 1) / panel_rows;
  work.queries = pieces.take<std::byte>(work.rows * work.query_stride * (work.pairs ? 2 : 4));
  work.scores = pieces.take<float>(score_rows * tile_entries);
  work.halves = work.pairs ? pieces.take<std::uint16_t>(score_rows * tile_entries) : nullptr;
  work.keys = pieces.take<std::byte>(tile_entries * words * 4);
  work.values = pieces.take<std::byte>(panels * panel_rows * tile_entries * (work.pairs ? 2 : 4));
  work.turning = pieces.take<std::byte>(panel_rows * (words + 15) / 16 * 64 + 64 * panel_rows);
  work.pointers = pieces.take<const std::byte*>(tile_entries);
  work.more_pointers = pieces.take<const std::byte*>(tile_entries);
  work.out = pieces.take<float>(work.rows * work.head_dim);
  work.top = pieces.take<float>(work.rows);
  work.sum = pieces.take<float>(work.rows);
  work.first = pieces.take<std::int32_t>(work.rows);
  work.last = pieces.take<std::int32_t>(work.rows);
  return pieces.used();
}

std::size_t even(std::size_t value) { return (value + 1) / 2 * 2; }

/** Columns of scores for some entries. */
std::size_t whole_width(std::size_t entries) { return (entries + 31) / 32 * 32; }

}  // namespace

TileContext::TileContext(const KernelTable& table, const KvView& kv_view, std::size_t kv_head, bool bf16, const AttentionShape& shape, bool attends)
    : kernels(table),
      view(kv_view),
      head(kv_head),
      pairs(bf16),
      steps(attends && bf16 && shape.softcap == 0 && table.attention.softmax_in_steps != nullptr),
      query_scale(shape.softcap > 0 ? shape.scale / shape.softcap : shape.scale * log2_e * (steps ? score_steps : 1)),
      cap(shape.softcap > 0 ? shape.softcap * log2_e : 0),
      entries(bf16 ? table.products.pair_entries : tile_entries),
      scope(table.products, bf16) {}

TileWork::TileWork(std::byte* memory, std::size_t row_count, std::size_t dim, bool bf16)
    : rows(row_count), head_dim(dim), pairs(bf16), query_stride(bf16 ? even(dim) : dim), largest_query(0) {
  lay_out(memory, *this);
}

std::size_t TileWork::bytes(std::size_t rows, std::size_t head_dim, bool pairs) {
  TileWork plan(nullptr, rows, head_dim, pairs);
  return lay_out(nullptr, plan);
}

void TileWork::load(const TileContext& context, const QueryBlock& block) {
  const std::size_t used = block.queries * block.group;
  for (std::size_t row = 0; row < used; row++) {
    const float* q = block.q + row / block.group * block.token_stride + row % block.group * head_dim;
    if (!pairs) {
      context.kernels.attention.scale_rows(q, head_dim, context.query_scale, reinterpret_cast<float*>(queries) + row * query_stride);
      continue;
    }
    context.kernels.attention.scale_rows(q, head_dim, context.query_scale, scores);
    auto* to = reinterpret_cast<std::uint16_t*>(queries) + row * query_stride;
    context.kernels.rows.to_bf16(scores, head_dim, to);
    if (query_stride > head_dim) to[head_dim] = 0;
  }
  const std::size_t row_bytes = query_stride * (pairs ? 2 : 4);
  std::memset(queries + used * row_bytes, 0, (rows - used) * row_bytes);
  std::fill(first, first + rows, 0);
  std::fill(last, last + rows, 0);
  if (context.steps) largest_query = context.kernels.attention.largest(reinterpret_cast<const std::uint16_t*>(queries), used * query_stride);
}

void TileWork::set_range(std::size_t index, std::size_t group, std::size_t from, std::size_t to) {
  std::fill_n(first + index * group, group, static_cast<std::int32_t>(from));
  std::fill_n(last + index * group, group, static_cast<std::int32_t>(to));
}

void TileWork::reset(bool with_output) {
  std::fill(top, top + rows, -1e30F);
  std::fill(sum, sum + rows, 0.0F);
  if (with_output) std::fill(out, out + rows * head_dim, 0.0F);
}

bool TileWork::any_sees(std::size_t first_row, std::size_t count, std::size_t start, std::size_t end) const {
  for (std::size_t row = first_row; row < first_row + count; row++) {
    if (first[row] < last[row] && static_cast<std::size_t>(first[row]) < end && static_cast<std::size_t>(last[row]) > start) return true;
  }
  return false;
}

void TileWork::pack_keys(const TileContext& context, std::size_t start, std::size_t count) {
  const HeadRows kv_rows(context.view, context.head);
  for (std::size_t i = 0; i < count; i++) pointers[i] = row_at(static_cast<const void*>(context.view.keys), context.view, kv_rows.row(start + i));
  context.kernels.attention.pack_keys(context.view.type, pointers, count, head_dim, pairs, turning, keys);
}

void TileWork::pack_values(const TileContext& context, std::size_t start, std::size_t count) {
  const HeadRows kv_rows(context.view, context.head);
  for (std::size_t i = 0; i < count; i++) pointers[i] = row_at(static_cast<const void*>(context.view.values), context.view, kv_rows.row(start + i));
  context.kernels.attention.pack_values(context.view.type, pointers, count, pairs ? whole_width(count) : count, head_dim, pairs, values);
}

bool TileWork::scores_bounded(const TileContext& context, std::size_t entry_count) const {
  constexpr float most = 1 << 29;
  const float largest_key = context.kernels.attention.largest(reinterpret_cast<const std::uint16_t*>(keys), entry_count * even(head_dim));
  return largest_query * largest_key * static_cast<float>(head_dim) < most;
}

void TileWork::weigh(const TileContext& context, const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* weights, bool bounded) const {
  const AttentionKernels& kernels = context.kernels.attention;
  if (context.steps && bounded) return kernels.softmax_in_steps(tile, state, weights);
  if (context.steps) {
    for (std::size_t row = 0; row < tile.rows; row++) kernels.scale_rows(tile.scores + row * tile.stride, tile.width, 1 / score_steps, tile.scores + row * tile.stride);
  }
  kernels.softmax(tile, state, weights);
}

ScoreTile TileWork::score(const TileContext& context, std::size_t start, std::size_t count, std::size_t first_row, std::size_t row_count) {
  const ProductKernels& products = context.kernels.products;
  const std::size_t width = whole_width(count);
  const std::size_t words = pairs ? (head_dim + 1) / 2 : head_dim;
  const std::byte* query = queries + first_row * query_stride * (pairs ? 2 : 4);
  if (pairs) {
    const ProductTarget target{scores, context.entries, width, nullptr, nullptr};
    products.pair_tile(keys, words * 64, width / panel_rows, words, reinterpret_cast<const std::uint16_t*>(query), query_stride, row_count, target);
  } else {
    for (std::size_t panel = 0; panel < width / panel_rows; panel += products.block_panels) {
      const ProductTarget target{scores + panel * panel_rows, context.entries, products.block_panels * panel_rows, nullptr, nullptr};
      products.value_tile(reinterpret_cast<const float*>(keys + panel * words * 64), words * panel_rows, products.block_panels, words,
                          reinterpret_cast<const float*>(query), query_stride, row_count, true, target);
    }
  }
  if (context.cap > 0) {
    for (std::size_t row = 0; row < row_count; row++) context.kernels.attention.cap_scores(scores + row * context.entries, width, context.cap);
  }
  return {scores, context.entries, row_count, width, start, count, first + first_row, last + first_row};
}

AttentionPass TileWork::pass_at(const TileContext& context, const PlacedTile& placed, std::size_t row, std::uint16_t* weights, bool turns) const {
  const auto* query = reinterpret_cast<const std::uint16_t*>(queries) + row * query_stride;
  return {query,     keys,      values,    placed.stride * 32,   placed.start, whole_width(placed.count), first + row,
          last + row, top + row, sum + row, out + row * head_dim, weights,      context.entries,           turns};
}

std::size_t TileWork::attend_rows(const TileContext& context, const PlacedTile& placed, std::size_t row, std::size_t row_count, bool with_values,
                                  std::uint16_t* weights) {
  const auto& [start, count, stride, bounded, passes] = placed;
  const AttentionKernels& kernels = context.kernels.attention;
  const ProductKernels& products = context.kernels.products;
  const std::size_t panels = (head_dim + panel_rows - 1) / panel_rows;
  float* output = out + row * head_dim;
  if (passes && row_count == pass_tile) {
    const AttentionPass pass = pass_at(context, placed, row, weights, false);
    if (kernels.attend_pass(pass)) return pass.width;
  }
  const ScoreTile tile = score(context, start, count, row, row_count);
  weigh(context, tile, {top + row, sum + row, with_values ? output : nullptr, head_dim}, weights, bounded);
  if (!with_values) return tile.width;
  if (pairs) {
    products.pair_tile(values, stride * 32, panels, tile.width / 2, weights, context.entries, row_count, {output, head_dim, head_dim, nullptr, output});
    return tile.width;
  }
  for (std::size_t panel = 0; panel < panels; panel += products.block_panels) {
    const std::size_t taken = std::min(products.block_panels, panels - panel);
    const ProductTarget target{output + panel * panel_rows, head_dim, std::min(taken * panel_rows, head_dim - panel * panel_rows), nullptr, nullptr};
    products.value_tile(reinterpret_cast<const float*>(values) + panel * stride * panel_rows, stride * panel_rows, taken, count, scores, context.entries,
                        row_count, false, target);
  }
  return tile.width;
}

void TileWork::attend(const TileContext& context, std::size_t begin, std::size_t end, bool with_values, const KeptWeights* kept, const PackedTiles* packed) {
  const AttentionKernels& kernels = context.kernels.attention;
  const std::size_t pass = pairs ? context.kernels.products.pair_pass : pass_rows;
  std::byte* own_keys = keys;
  std::byte* own_values = values;
  for (std::size_t start = begin; start < end; start += context.entries) {
    const std::size_t count = std::min(context.entries, end - start);
    const std::size_t kept_row = start / context.entries * rows;
    if (kept != nullptr) std::fill_n(kept->top + kept_row, rows, -1e30F);
    if (!any_sees(0, rows, start, start + count)) {
      if (kept != nullptr) std::fill_n(kept->weights + kept_row * context.entries, rows * context.entries, std::uint16_t{0});
      continue;
    }
    std::size_t stride = pairs ? whole_width(count) : count;  // from panel to panel of values
    if (packed != nullptr && start >= packed->first) {
      const std::size_t index = (start - packed->first) / context.entries;
      keys = packed->keys(index);
      values = packed->values(index);
      const std::size_t there = std::min(context.entries, packed->length - start);
      stride = pairs ? whole_width(there) : there;
    } else {
      keys = own_keys;
      values = own_values;
      pack_keys(context, start, count);
      if (with_values) pack_values(context, start, count);
    }
    PlacedTile tile{start, count, stride, context.steps && scores_bounded(context, whole_width(count)), false};
    tile.passes = tile.bounded && with_values && head_dim == pass_dim && kernels.attend_pass != nullptr;
    std::uint64_t done = 0;
    if (tile.passes && count == context.entries) {
      std::uint16_t* weights = kept != nullptr ? kept->weights + kept_row * context.entries : halves;
      done = kernels.attend_whole(pass_at(context, tile, 0, weights, kept == nullptr), std::min<std::size_t>(rows / pass_tile, 64));
    }
    for (std::size_t row = 0; row < rows; row += pass) {
      const std::size_t row_count = std::min(pass, rows - row);
      if (row / pass_tile < 64 && (done >> row / pass_tile & 1) != 0) {
        if (kept != nullptr) std::copy_n(top + row, row_count, kept->top + kept_row + row);
        continue;
      }
      std::uint16_t* weights = kept != nullptr ? kept->weights + (kept_row + row) * context.entries : halves;
      if (!any_sees(row, row_count, start, start + count)) {
        if (kept != nullptr) std::fill_n(weights, row_count * context.entries, std::uint16_t{0});
        continue;
      }
      // Nothing lies behind what the last of these rows sees.
      const auto seen = static_cast<std::size_t>(*std::max_element(last + row, last + row + row_count));
      tile.count = std::min(count, seen - start);
      const std::size_t width = attend_rows(context, tile, row, row_count, with_values, weights);
      if (kept == nullptr) continue;
      std::copy_n(top + row, row_count, kept->top + kept_row + row);
      for (std::size_t i = 0; i < row_count; i++) std::fill_n(weights + i * context.entries + width, whole_width(count) - width, std::uint16_t{0});
    }
  }
}

void TileWork::attend_few(const TileContext& context, std::size_t begin, std::size_t end, std::size_t used) {
  const AttentionKernels& kernels = context.kernels.attention;
  const KvView& view = context.view;
  const HeadRows kv_rows(view, context.head);
  const auto rows_of = [&](const void* part, std::size_t start, const std::byte** out) {
    const std::size_t count = start < end ? std::min(tile_entries, end - start) : 0;
    for (std::size_t i = 0; i < count; i++) out[i] = row_at(part, view, kv_rows.row(start + i));
    return EntryRows{out, count};
  };
  EntryRows own_keys = rows_of(view.keys, begin, pointers);
  for (std::size_t start = begin; start < end; start += tile_entries) {
    const std::size_t count = own_keys.count;
    if (any_sees(0, used, start, start + count)) {
      // While keys are read their values are on the way, and then the next tile's keys.
      const EntryRows own_values = rows_of(view.values, start, more_pointers);
      kernels.few_scores(view.type, own_keys, own_values, head_dim, reinterpret_cast<const float*>(queries), used, scores, tile_entries);
      if (context.cap > 0) {
        for (std::size_t row = 0; row < used; row++) kernels.cap_scores(scores + row * tile_entries, count, context.cap);
      }
      kernels.softmax({scores, tile_entries, used, whole_width(count), start, count, first, last}, {top, sum, out, head_dim}, nullptr);
      own_keys = rows_of(view.keys, start + tile_entries, pointers);
      kernels.few_values(view.type, own_values, own_keys, head_dim, scores, tile_entries, used, out);
    } else {
      own_keys = rows_of(view.keys, start + tile_entries, pointers);
    }
  }
}

SlotRange visible_slots(const KvView& view, const HeadRows& rows, std::size_t length, std::int64_t end, const AttentionShape& shape,
                        const std::int32_t* position) {
  const auto last = static_cast<std::size_t>(std::max<std::int64_t>(0, end));
  std::size_t first = 0;
  if (shape.window > 0 && position != nullptr) first = first_at_position(view, rows, length, std::int64_t{*position} - shape.window + 1);
  return {std::min(first, last), last};
}

float natural_log_sum(float top, float sum) {
  if (sum <= 0) return -std::numeric_limits<float>::infinity();
  return static_cast<float>((static_cast<double>(top) + std::log2(static_cast<double>(sum))) * 0.69314718055994530942);
}

}  // namespace kvsift

#include "packed_segment.h"

#include <algorithm>

namespace kvsift {

namespace {

constexpr std::size_t most_bytes = std::size_t{16} << 20;

/** First slot that any of the rows sees: what the first one does, whose window lies furthest back. */
std::size_t first_seen(const KvView& view, std::size_t head, std::size_t rows, const AttentionShape& shape, const std::int32_t* positions) {
  const auto length = static_cast<std::size_t>(view.lengths[head]);
  const auto limit = static_cast<std::int64_t>(length) - static_cast<std::int64_t>(rows) + 1;
  return visible_slots(view, HeadRows(view, head), length, limit, shape, positions).first;
}

}  // namespace

std::size_t longest_head(const KvView& view) {
  std::int32_t most = 0;
  for (std::size_t head = 0; head < view.kv_heads; head++) most = std::max(most, view.lengths[head]);
  return static_cast<std::size_t>(most);
}

PackedSegment::PackedSegment(Context& context, const KvView& view, std::size_t rows, const AttentionShape& shape, const std::int32_t* positions, bool pairs,
                             std::size_t blocks)
    : view_(view) {
  if (blocks < 2) return;
  const std::size_t dim = view.head_dim;
  entries_ = pairs ? context.kernels().products.pair_entries : tile_entries;
  key_bytes_ = entries_ * (pairs ? (dim + 1) / 2 : dim) * 4;
  value_bytes_ = entries_ * ((dim + panel_rows - 1) / panel_rows * panel_rows) * (pairs ? 2 : 4);
  std::size_t first = longest_head(view);
  for (std::size_t head = 0; head < view.kv_heads; head++) first = std::min(first, first_seen(view, head, rows, shape, positions));
  first_ = first / entries_ * entries_;
  tiles_ = (longest_head(view) - first_ + entries_ - 1) / entries_;
  const std::size_t bytes = view.kv_heads * tiles_ * (key_bytes_ + value_bytes_);
  if (bytes == 0 || bytes > most_bytes) return;
  data_ = static_cast<std::byte*>(context.shared_scratch(0, bytes));
  const std::size_t own_bytes = TileWork::bytes(4, dim, pairs);
  context.parallel_for(view.kv_heads * tiles_, 4, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    TileWork work(static_cast<std::byte*>(context.thread_scratch(thread, own_bytes)), 4, dim, pairs);
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t head = task / tiles_;
      const std::size_t tile = task % tiles_;
      const std::size_t start = first_ + tile * entries_;
      const auto length = static_cast<std::size_t>(view.lengths[head]);
      if (start >= length) continue;
      const TileContext tiles(context.kernels(), view, head, pairs, shape);
      const PackedTiles to = of(head);
      work.keys = to.keys(tile);
      work.values = to.values(tile);
      work.pack_keys(tiles, start, std::min(entries_, length - start));
      work.pack_values(tiles, start, std::min(entries_, length - start));
    }
  });
}

}  // namespace kvsift

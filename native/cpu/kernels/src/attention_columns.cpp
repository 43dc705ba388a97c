#include <algorithm>
#include <cmath>
#include <limits>

#include "attention_tiles.h"
#include "kvsift/activations.h"

namespace kvsift {

namespace {

/** Query rows (token rows times group) of a task that looks for the sums. */
constexpr std::size_t block_target = 192;

struct Op {
  Context& context;
  const float* q;
  std::size_t rows;
  const KvView& view;
  std::size_t n;
  const ColumnArguments& arguments;
  bool pairs;

  std::size_t group() const { return arguments.shape.query_heads / view.kv_heads; }
  std::size_t entries() const { return pairs ? context.kernels().products.pair_entries : tile_entries; }
  std::size_t token_stride() const { return arguments.shape.query_heads * view.head_dim; }

  SlotRange range(std::size_t head, std::size_t row) const {
    const auto limit = arguments.mask == ColumnMask::none ? static_cast<std::int64_t>(n)
                                                          : static_cast<std::int64_t>(n) - static_cast<std::int64_t>(arguments.behind + rows) +
                                                                static_cast<std::int64_t>(row) + 1;
    return visible_slots(view, HeadRows(view, head), n, limit, arguments.shape, arguments.positions != nullptr ? arguments.positions + row : nullptr);
  }

  /** Loads queries [first, first + count) of a head with what they see. */
  void load(const TileContext& tiles, TileWork& work, std::size_t first, std::size_t count) const {
    work.load(tiles, {q + first * token_stride() + tiles.head * group() * view.head_dim, count, group(), token_stride()});
    for (std::size_t i = 0; i < count; i++) {
      const SlotRange seen = range(tiles.head, first + i);
      work.set_range(i, group(), seen.first, seen.last);
    }
  }
};

/** Base-2 log-sum-exp of a row; +1e30 (probability 0) where it sees nothing. */
float log_sum(const TileWork& work, std::size_t row) { return work.sum[row] > 0 ? work.top[row] + std::log2(work.sum[row]) : 1e30F; }

/** Base-2 log-sum-exp of each row and query head, [kv_heads][rows][group]; +1e30 (probability 0) where a row sees nothing. */
float* log_sums(const Op& op) {
  const std::size_t group = op.group();
  const std::size_t heads = op.arguments.shape.query_heads;
  auto* sums = static_cast<float*>(op.context.shared_scratch(5, op.rows * heads * sizeof(float)));
  constexpr double log2_e = 1.44269504088896340736;
  if (const float* known = op.arguments.log_sum_exp; known != nullptr) {
    for (std::size_t row = 0; row < op.rows; row++) {
      for (std::size_t h = 0; h < heads; h++) {
        const float value = known[row * heads + h];
        sums[(h / group * op.rows + row) * group + h % group] = std::isinf(value) ? 1e30F : static_cast<float>(value * log2_e);
      }
    }
    return sums;
  }
  const std::size_t queries = std::max<std::size_t>(1, block_target / group);
  const std::size_t blocks = (op.rows + queries - 1) / queries;
  const std::size_t bytes = TileWork::bytes(padded_rows(queries * group), op.view.head_dim, op.pairs);
  op.context.parallel_for(blocks * op.view.kv_heads, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t head = task % op.view.kv_heads;
    const std::size_t first = (blocks - 1 - task / op.view.kv_heads) * queries;
    const std::size_t count = std::min(queries, op.rows - first);
    const TileContext tiles(op.context.kernels(), op.view, head, op.pairs, op.arguments.shape);
    TileWork work(static_cast<std::byte*>(op.context.thread_scratch(thread, bytes)), padded_rows(count * group), op.view.head_dim, op.pairs);
    op.load(tiles, work, first, count);
    work.reset(false);
    work.attend(tiles, 0, op.n, false);
    for (std::size_t row = 0; row < count * group; row++) {
      sums[(head * op.rows + first) * group + row] = log_sum(work, row);
    }
  });
  return sums;
}

/** All queries in the form that scores are computed from, and what they see: [kv_heads][rows · group], with rows to spare behind. */
struct Prepared {
  std::byte* queries;
  std::size_t row_bytes;
  std::int32_t* first;
  std::int32_t* last;
};

Prepared prepare(const Op& op) {
  constexpr std::size_t piece = 16;
  const std::size_t group = op.group();
  const std::size_t all = op.view.kv_heads * op.rows * group + 4;
  const std::size_t row_bytes = TileWork(nullptr, 4, op.view.head_dim, op.pairs).query_stride * (op.pairs ? 2 : 4);
  auto* ranges = static_cast<std::int32_t*>(op.context.shared_scratch(7, 2 * all * sizeof(std::int32_t)));
  const Prepared prepared{static_cast<std::byte*>(op.context.shared_scratch(6, all * row_bytes)), row_bytes, ranges, ranges + all};
  const std::size_t pieces = (op.rows + piece - 1) / piece;
  const std::size_t bytes = TileWork::bytes(padded_rows(piece * group), op.view.head_dim, op.pairs);
  op.context.parallel_for(pieces * op.view.kv_heads, 4, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t head = task / pieces;
      const std::size_t from = task % pieces * piece;
      const std::size_t count = std::min(piece, op.rows - from);
      const TileContext tiles(op.context.kernels(), op.view, head, op.pairs, op.arguments.shape);
      TileWork work(static_cast<std::byte*>(op.context.thread_scratch(thread, bytes)), padded_rows(count * group), op.view.head_dim, op.pairs);
      op.load(tiles, work, from, count);
      const std::size_t at = (head * op.rows + from) * group;
      std::copy_n(work.queries, count * group * row_bytes, prepared.queries + at * row_bytes);
      std::copy_n(work.first, count * group, prepared.first + at);
      std::copy_n(work.last, count * group, prepared.last + at);
    }
  });
  std::fill_n(prepared.queries + (all - 4) * row_bytes, 4 * row_bytes, std::byte{0});
  return prepared;
}

/** Calls `take(head, first query, scores, log sums of its rows, columns)` for each tile of entries and each few query rows that see some of it. */
template <class Begin, class Take, class End>
void each_tile(const Op& op, const float* sums, Begin begin, Take take, End end) {
  const Prepared prepared = prepare(op);
  const std::size_t group = op.group();
  const std::size_t entries = op.entries();
  const std::size_t tiles_per_head = (op.n + entries - 1) / entries;
  // Whole tokens whose rows fill the score buffer.
  const std::size_t queries = std::max<std::size_t>(1, score_rows / group);
  const std::size_t bytes = TileWork::bytes(4, op.view.head_dim, op.pairs);
  const std::size_t extra = (group * entries * sizeof(float) + 63) / 64 * 64;
  op.context.parallel_for(tiles_per_head * op.view.kv_heads, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t head = task % op.view.kv_heads;
    const std::size_t start = task / op.view.kv_heads * entries;
    const std::size_t count = std::min(entries, op.n - start);
    const TileContext tiles(op.context.kernels(), op.view, head, op.pairs, op.arguments.shape);
    auto* memory = static_cast<std::byte*>(op.context.thread_scratch(thread, bytes + extra));
    auto* columns = reinterpret_cast<float*>(memory);
    TileWork work(memory + extra, 4, op.view.head_dim, op.pairs);
    work.pack_keys(tiles, start, count);
    begin(columns);
    for (std::size_t from = 0; from < op.rows; from += queries) {
      const std::size_t rows = std::min(queries, op.rows - from) * group;
      const std::size_t at = (head * op.rows + from) * group;
      work.queries = prepared.queries + at * prepared.row_bytes;
      work.first = prepared.first + at;
      work.last = prepared.last + at;
      if (!work.any_sees(0, rows, start, start + count)) continue;
      ScoreTile tile = work.score(tiles, start, count, 0, padded_rows(rows));
      tile.rows = rows;
      take(head, from, tile, sums + at, columns);
    }
    end(head, start, count, columns);
  });
}

/** Columns of one query row that sees the end, as a step of decoding has: all its scores exist at once, so keys are brought into place once. */
void columns_of_one(const Op& op, ColumnStatistic statistic, float* out) {
  const std::size_t group = op.group();
  const std::size_t entries = op.entries();
  const std::size_t tiles_per_head = (op.n + entries - 1) / entries;
  const std::size_t rows = padded_rows(group);
  const std::size_t bytes = TileWork::bytes(rows, op.view.head_dim, op.pairs);
  auto* scores = static_cast<float*>(op.context.shared_scratch(6, op.view.kv_heads * tiles_per_head * rows * entries * sizeof(float)));
  auto* sums = static_cast<float*>(op.context.shared_scratch(5, op.view.kv_heads * group * sizeof(float)));
  const AttentionKernels& kernels = op.context.kernels().attention;
  /** Does `work` for tasks of one head each; `per_head` of them follow each other. */
  const auto each = [&](std::size_t per_head, auto work) {
    op.context.parallel_for(op.view.kv_heads * per_head, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
      const TileContext tiles(op.context.kernels(), op.view, task / per_head, op.pairs, op.arguments.shape);
      TileWork own(static_cast<std::byte*>(op.context.thread_scratch(thread, bytes)), rows, op.view.head_dim, op.pairs);
      op.load(tiles, own, 0, 1);
      work(tiles, own, task);
    });
  };
  const auto tile_at = [&](const TileWork& work, std::size_t tile, float* place, std::size_t row_count) {
    const std::size_t start = tile % tiles_per_head * entries;
    const std::size_t count = std::min(entries, op.n - start);
    return ScoreTile{place, entries, row_count, (count + 31) / 32 * 32, start, count, work.first, work.last};
  };
  each(tiles_per_head, [&](const TileContext& tiles, TileWork& work, std::size_t tile) {
    const std::size_t start = tile % tiles_per_head * entries;
    const std::size_t count = std::min(entries, op.n - start);
    work.pack_keys(tiles, start, count);
    work.score(tiles, start, count, 0, rows);
    std::copy_n(work.scores, rows * entries, scores + tile * rows * entries);
  });
  const float* known = op.arguments.log_sum_exp != nullptr ? log_sums(op) : nullptr;
  if (known == nullptr) {
    each(1, [&](const TileContext&, TileWork& work, std::size_t head) {
      work.reset(false);
      for (std::size_t tile = head * tiles_per_head; tile < (head + 1) * tiles_per_head; tile++) {
        // In place: the scores are needed once more.
        std::copy_n(scores + tile * rows * entries, rows * entries, work.scores);
        const ScoreTile own = tile_at(work, tile, work.scores, rows);
        if (work.any_sees(0, rows, own.start, own.start + own.count)) kernels.softmax(own, {work.top, work.sum, nullptr, op.view.head_dim}, work.halves);
      }
      for (std::size_t row = 0; row < group; row++) sums[head * group + row] = log_sum(work, row);
    });
  }
  each(tiles_per_head, [&](const TileContext&, TileWork& work, std::size_t tile) {
    const std::size_t head = tile / tiles_per_head;
    const ScoreTile own = tile_at(work, tile, scores + tile * rows * entries, group);
    std::fill_n(work.scores, group * entries, 0.0F);
    if (work.any_sees(0, group, own.start, own.start + own.count))
      kernels.columns(own, (known != nullptr ? known : sums) + head * group, group, statistic == ColumnStatistic::max, op.pairs, work.scores);
    for (std::size_t h = 0; h < group; h++) std::copy_n(work.scores + h * entries, own.count, out + (head * group + h) * op.n + own.start);
  });
}

}  // namespace

void attention_columns(Context& context, Compute compute, const float* q, std::size_t rows, const KvView& view, std::size_t n, ColumnStatistic statistic,
                       const ColumnArguments& arguments, float* out) {
  const Op op{context, q, rows, view, n, arguments, rounds_activations(context, compute)};
  const std::size_t group = op.group();
  if (rows == 1 && group <= score_rows && (arguments.mask == ColumnMask::none || arguments.behind == 0)) {
    columns_of_one(op, statistic, out);
    return;
  }
  const float* sums = log_sums(op);
  const auto begin = [&](float* columns) { std::fill_n(columns, group * op.entries(), 0.0F); };
  const auto take = [&](std::size_t, std::size_t, const ScoreTile& tile, const float* lse, float* columns) {
    context.kernels().attention.columns(tile, lse, group, statistic == ColumnStatistic::max, op.pairs, columns);
  };
  const auto end = [&](std::size_t head, std::size_t start, std::size_t count, const float* columns) {
    for (std::size_t h = 0; h < group; h++) std::copy_n(columns + h * op.entries(), count, out + (head * group + h) * n + start);
  };
  each_tile(op, sums, begin, take, end);
}

void attention_rows(Context& context, Compute compute, const float* q, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments,
                    float* out) {
  const Op op{context, q, rows, view, n, arguments, rounds_activations(context, compute)};
  const std::size_t group = op.group();
  const float* sums = log_sums(op);
  // What a row does not see is 0; the tiles bring the rest.
  for (std::size_t at = 0; at < arguments.shape.query_heads * rows; at++) {
    const SlotRange seen = op.range(at / rows / group, at % rows);
    const std::size_t first = std::min(seen.first, n);
    const std::size_t last = std::clamp(seen.last, first, n);
    std::fill_n(out + at * n, first, 0.0F);
    std::fill_n(out + at * n + last, n - last, 0.0F);
  }
  const auto take = [&](std::size_t head, std::size_t first, const ScoreTile& tile, const float* lse, float*) {
    for (std::size_t row = 0; row < tile.rows; row++) {
      const std::size_t from = std::max(tile.start, static_cast<std::size_t>(tile.first[row]));
      const std::size_t to = std::min(tile.start + tile.count, static_cast<std::size_t>(tile.last[row]));
      if (from >= to) continue;
      float* place = out + ((head * group + row % group) * rows + first + row / group) * n + from;
      context.kernels().attention.probabilities(tile.scores + row * tile.stride + from - tile.start, to - from, lse[row], place);
    }
  };
  each_tile(op, sums, [](float*) {}, take, [](std::size_t, std::size_t, std::size_t, const float*) {});
}

}  // namespace kvsift

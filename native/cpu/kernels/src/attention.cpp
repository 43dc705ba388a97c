#include "kvsift/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "attention_tiles.h"
#include "kvsift/activations.h"
#include "packed_segment.h"

namespace kvsift {

namespace {

/** Up to this many token rows a segment is split over its entries. */
constexpr std::size_t few_rows = 8;
/** Entries of one task then: the same for every layout, batch and number of threads. */
constexpr std::size_t chunk_entries = 4 * tile_entries;
/**
 * Query rows (token rows times group) of one task of a long segment; twice as many where that leaves work for all and each block packs its tiles itself, or reads
 * more of them than the second-level cache keeps.
 */
constexpr std::size_t block_target = 192;
constexpr std::size_t far_entries = 2048;
/** The same where weights are kept for column sums: so that those of some thousand entries stay in the second-level cache. */
constexpr std::size_t kept_target = 96;

struct Op {
  Context& context;
  const AttentionShape& shape;
  const float* q;
  const std::int32_t* positions;
  float* out;
  float* log_sum_exp;
};

/** One segment in its place in the batch. */
struct Part {
  const KvView& view;
  std::size_t first_row;
  std::size_t rows;

  std::size_t group(const AttentionShape& shape) const { return shape.query_heads / view.kv_heads; }
};

/** Loads queries [first, first + count) of a head with what they see; returns the end of what any of them sees. */
std::size_t begin_block(const Op& op, const Part& part, const TileContext& tiles, TileWork& work, std::size_t first, std::size_t count) {
  const std::size_t group = part.group(op.shape);
  const std::size_t stride = op.shape.query_heads * part.view.head_dim;
  const std::size_t row = part.first_row + first;
  work.load(tiles, {op.q + row * stride + tiles.head * group * part.view.head_dim, count, group, stride});
  const HeadRows kv_rows(part.view, tiles.head);
  const auto length = static_cast<std::size_t>(part.view.lengths[tiles.head]);
  std::size_t end = 0;
  for (std::size_t i = 0; i < count; i++) {
    const auto limit = static_cast<std::int64_t>(length) - static_cast<std::int64_t>(part.rows) + static_cast<std::int64_t>(first + i) + 1;
    const SlotRange range = visible_slots(part.view, kv_rows, length, limit, op.shape, op.positions != nullptr ? op.positions + row + i : nullptr);
    work.set_range(i, group, range.first, range.last);
    end = std::max(end, range.last);
  }
  return end;
}

/** Writes one query head's result from Σ weights · values. */
void write_row(const Op& op, std::size_t row, std::size_t query_head, std::size_t head_dim, const float* values, float top, float sum) {
  const float factor = sum > 0 ? 1 / sum : 0;
  op.context.kernels().attention.scale_rows(values, head_dim, factor, op.out + (row * op.shape.query_heads + query_head) * head_dim);
  if (op.log_sum_exp != nullptr) op.log_sum_exp[row * op.shape.query_heads + query_head] = natural_log_sum(top, sum);
}

/** Sums of probabilities per key while several threads add to them: integers, whose sum does not depend on the order. */
class ColumnSums {
 public:
  ColumnSums(Context& context, std::size_t heads, std::size_t n)
      : add_exactly_(context.kernels().attention.add_exactly), heads_(heads), n_(n) {
    auto* memory = static_cast<std::byte*>(context.shared_scratch(7, heads * (line + n * sizeof(std::int64_t))));
    locks_ = memory;
    for (std::size_t head = 0; head < heads; head++) new (locks_ + head * line) std::atomic_flag();
    sums_ = reinterpret_cast<std::int64_t*>(memory + heads * line);
    std::fill_n(sums_, heads * n, 0);
  }

  /** Adds [group, stride] columns of the query heads from `head` on. */
  void add(std::size_t head, std::size_t group, std::size_t start, std::size_t count, const float* columns, std::size_t stride) {
    auto& lock = *std::launder(reinterpret_cast<std::atomic_flag*>(locks_ + head * line));
    while (lock.test_and_set(std::memory_order_acquire)) lock.wait(true, std::memory_order_relaxed);
    for (std::size_t member = 0; member < group; member++) {
      add_exactly_(columns + member * stride, count, sums_ + (head + member) * n_ + start);
    }
    lock.clear(std::memory_order_release);
    lock.notify_one();
  }

  void add_to(float* out, std::size_t stride) const {
    for (std::size_t head = 0; head < heads_; head++) {
      for (std::size_t c = 0; c < n_; c++) out[head * stride + c] += static_cast<float>(static_cast<double>(sums_[head * n_ + c]) / unit);
    }
  }

 private:
  static constexpr std::size_t line = 64;
  /** A sum of a billion rows still fits. */
  static constexpr double unit = 4294967296.0;

  void (*add_exactly_)(const float*, std::size_t, std::int64_t*);
  std::size_t heads_;
  std::size_t n_;
  std::byte* locks_;
  std::int64_t* sums_;
};

/** Adds up what the rows of a block gave to each key, now that their sums are known. */
void add_columns(const Op& op, const TileWork& work, const KeptWeights& kept, float* log_sums, float* tile, std::size_t head, std::size_t group, std::size_t end,
                 std::size_t entries, ColumnSums& columns) {
  for (std::size_t row = 0; row < work.rows; row++) log_sums[row] = work.sum[row] > 0 ? work.top[row] + std::log2(work.sum[row]) : 1e30F;
  // The last tile first: the nearer cache holds what was written last.
  for (std::size_t tiles = (end + entries - 1) / entries; tiles > 0; tiles--) {
    const std::size_t start = (tiles - 1) * entries;
    const std::size_t index = (tiles - 1) * work.rows;
    const std::size_t count = std::min(entries, end - start);
    std::fill_n(tile, group * entries, 0.0F);
    op.context.kernels().attention.weigh_columns(kept.weights + index * entries, entries, work.rows, kept.top + index, log_sums, group,
                                                 (count + 31) / 32 * 32, tile);
    columns.add(head * group, group, start, count, tile, entries);
  }
}

/** A long segment: tasks are blocks of queries, the longest first. `columns`: with pairs only. */
void attend_long(const Op& op, const Part& part, bool pairs, ColumnSums* columns = nullptr) {
  const std::size_t group = part.group(op.shape);
  const std::size_t narrow = std::max<std::size_t>(1, (columns != nullptr ? kept_target : block_target) / group);
  const PackedSegment packed(op.context, part.view, part.rows, op.shape, op.positions != nullptr ? op.positions + part.first_row : nullptr, pairs,
                             (part.rows + narrow - 1) / narrow);
  const bool costly = !packed.there() || longest_head(part.view) >= far_entries;
  const bool large = costly && columns == nullptr && part.rows * group * part.view.kv_heads >= 8 * block_target * op.context.threads();
  const std::size_t queries = large ? std::max<std::size_t>(1, 2 * block_target / group) : narrow;
  const std::size_t blocks = (part.rows + queries - 1) / queries;
  const std::size_t rows = padded_rows(queries * group);
  const std::size_t dim = part.view.head_dim;
  const std::size_t own_bytes = (TileWork::bytes(rows, dim, pairs) + 63) / 64 * 64;
  const std::size_t entries = op.context.kernels().products.pair_entries;
  const std::size_t tiles_per_head = columns != nullptr ? (longest_head(part.view) + entries - 1) / entries : 0;
  const std::size_t kept_bytes = KeptWeights::bytes(tiles_per_head, rows, entries);
  const std::size_t bytes = own_bytes + (columns != nullptr ? kept_bytes + (group * entries + rows) * sizeof(float) : 0);
  op.context.parallel_for(blocks * part.view.kv_heads, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t head = task / blocks;
    const std::size_t first = (blocks - 1 - task % blocks) * queries;
    const std::size_t count = std::min(queries, part.rows - first);
    const TileContext tiles(op.context.kernels(), part.view, head, pairs, op.shape, true);
    auto* scratch = static_cast<std::byte*>(op.context.thread_scratch(thread, bytes));
    TileWork work(scratch, padded_rows(count * group), dim, pairs);
    const std::size_t end = begin_block(op, part, tiles, work, first, count);
    work.reset(true);
    auto* weights = reinterpret_cast<std::uint16_t*>(scratch + own_bytes);
    const KeptWeights kept{weights, reinterpret_cast<float*>(weights + tiles_per_head * rows * entries)};
    const PackedTiles own = packed.there() ? packed.of(head) : PackedTiles{};
    work.attend(tiles, 0, end, true, columns != nullptr ? &kept : nullptr, packed.there() ? &own : nullptr);
    if (columns != nullptr) {
      auto* tile = reinterpret_cast<float*>(scratch + own_bytes + kept_bytes);
      add_columns(op, work, kept, tile + group * entries, tile, head, group, end, entries, *columns);
    }
    for (std::size_t row = 0; row < count * group; row++) {
      write_row(op, part.first_row + first + row / group, head * group + row % group, dim, work.out + row * dim, work.top[row], work.sum[row]);
    }
  });
}

/** Where the partial results of a short segment's chunks lie in shared scratch. */
struct Chunks {
  std::size_t first_task;   // of this segment in the batch
  std::size_t per_head;     // chunks, by the longest head
  std::size_t first_float;  // [kv_heads][per_head][rows · group][head_dim + 2]
};

std::size_t chunk_floats(const Part& part, const AttentionShape& shape) { return part.rows * part.group(shape) * (part.view.head_dim + 2); }

/** One chunk of one head: top, sum and Σ weights · values of each row. */
void attend_chunk(const Op& op, const Part& part, std::size_t head, std::size_t chunk, std::size_t thread, float* to) {
  const std::size_t group = part.group(op.shape);
  const std::size_t dim = part.view.head_dim;
  const std::size_t rows = padded_rows(part.rows * group);
  const TileContext tiles(op.context.kernels(), part.view, head, false, op.shape);
  TileWork work(static_cast<std::byte*>(op.context.thread_scratch(thread, TileWork::bytes(rows, dim, false))), rows, dim, false);
  const std::size_t end = begin_block(op, part, tiles, work, 0, part.rows);
  work.reset(true);
  const std::size_t begin = chunk * chunk_entries;
  const std::size_t used = part.rows * group;
  if (begin < end) {
    const std::size_t stop = std::min(end, begin + chunk_entries);
    if (dim % panel_rows == 0 && used <= score_rows) work.attend_few(tiles, begin, stop, used);
    else work.attend(tiles, begin, stop, true);
  }
  for (std::size_t row = 0; row < used; row++, to += dim + 2) {
    to[0] = work.top[row];
    to[1] = work.sum[row];
    std::copy_n(work.out + row * dim, dim, to + 2);
  }
}

/** Puts the chunks of one head together, in order. */
void merge_chunks(const Op& op, const Part& part, std::size_t head, std::size_t chunks, float* from) {
  const std::size_t group = part.group(op.shape);
  const std::size_t dim = part.view.head_dim;
  const std::size_t stride = chunk_floats(part, op.shape);
  for (std::size_t row = 0; row < part.rows * group; row++) {
    float* base = from + row * (dim + 2);
    float top = base[0];
    for (std::size_t chunk = 1; chunk < chunks; chunk++) top = std::max(top, base[chunk * stride]);
    float sum = 0;
    for (std::size_t chunk = 0; chunk < chunks; chunk++) {
      float* piece = base + chunk * stride;
      const float factor = std::exp2(piece[0] - top);
      sum += piece[1] * factor;
      for (std::size_t c = 2; c < dim + 2; c++) {
        if (chunk == 0) base[c] *= factor;
        else base[c] += piece[c] * factor;
      }
    }
    write_row(op, part.first_row + row / group, head * group + row % group, dim, base + 2, top, sum);
  }
}

}  // namespace

void attention(Context& context, Compute compute, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape,
               const std::int32_t* positions, float* out, float* log_sum_exp) {
  const Op op{context, shape, q, positions, out, log_sum_exp};
  const bool pairs = rounds_activations(context, compute);
  std::size_t first_row = 0;
  std::size_t short_segments = 0;
  for (const auto& [view, rows] : segments) {
    if (rows > few_rows) attend_long(op, {view, first_row, rows}, pairs);
    else short_segments++;
    first_row += rows;
  }
  if (short_segments == 0) return;

  auto* plans = static_cast<Chunks*>(context.shared_scratch(5, segments.size() * sizeof(Chunks)));
  std::size_t tasks = 0;
  std::size_t floats = 0;
  for (std::size_t index = 0; index < segments.size(); index++) {
    const Part part{segments[index].view, 0, segments[index].rows};
    plans[index] = {tasks, std::max<std::size_t>(1, (longest_head(part.view) + chunk_entries - 1) / chunk_entries), floats};
    if (part.rows > few_rows || part.rows == 0) continue;
    const std::size_t own = part.view.kv_heads * plans[index].per_head;
    tasks += own;
    floats += own * chunk_floats(part, shape);
  }
  auto* partial = static_cast<float*>(context.shared_scratch(6, floats * sizeof(float)));
  context.parallel_for(tasks, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    std::size_t index = 0;
    std::size_t row = 0;
    while (index + 1 < segments.size() && plans[index + 1].first_task <= task) row += segments[index++].rows;
    const Part part{segments[index].view, row, segments[index].rows};
    const std::size_t own = task - plans[index].first_task;
    attend_chunk(op, part, own / plans[index].per_head, own % plans[index].per_head, thread,
                 partial + plans[index].first_float + own * chunk_floats(part, shape));
  });
  std::size_t row = 0;
  for (std::size_t index = 0; index < segments.size(); row += segments[index++].rows) {
    const Part part{segments[index].view, row, segments[index].rows};
    if (part.rows > few_rows || part.rows == 0) continue;
    for (std::size_t head = 0; head < part.view.kv_heads; head++) {
      const std::size_t per_head = plans[index].per_head;
      merge_chunks(op, part, head, per_head, partial + plans[index].first_float + head * per_head * chunk_floats(part, shape));
    }
  }
}

void attention_with_columns(Context& context, Compute compute, const KvView& view, std::size_t rows, const float* q, const AttentionShape& shape,
                            const std::int32_t* positions, float* out, float* log_sum_exp, std::size_t n, float* columns, std::size_t column_stride) {
  const std::size_t heads = shape.query_heads;
  if (rows > few_rows && rounds_activations(context, compute)) {
    ColumnSums sums(context, heads, n);
    attend_long({context, shape, q, positions, out, log_sum_exp}, {view, 0, rows}, true, &sums);
    sums.add_to(columns, column_stride);
    return;
  }
  const KvSegment segment{view, rows};
  attention(context, compute, std::span(&segment, 1), q, shape, positions, out, log_sum_exp);
  ColumnArguments arguments;
  arguments.shape = shape;
  arguments.positions = positions;
  arguments.log_sum_exp = log_sum_exp;
  auto* own = static_cast<float*>(context.shared_scratch(8, heads * n * sizeof(float)));
  attention_columns(context, compute, q, rows, view, n, ColumnStatistic::sum, arguments, own);
  for (std::size_t head = 0; head < heads; head++) {
    for (std::size_t c = 0; c < n; c++) columns[head * column_stride + c] += own[head * n + c];
  }
}

}  // namespace kvsift

#include "kvsift/attention.h"

#include <algorithm>
#include <cmath>

#include "attention_tiles.h"

namespace kvsift {

namespace {

/** Up to this many token rows a segment is split over its entries. */
constexpr std::size_t few_rows = 8;
/** Entries of one task then: the same for every layout, batch and number of threads. */
constexpr std::size_t chunk_entries = 4 * tile_entries;
/** Query rows (token rows times group) of one task of a long segment. */
constexpr std::size_t block_target = 192;

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

/** A long segment: tasks are blocks of queries, the longest first. */
void attend_long(const Op& op, const Part& part, bool pairs) {
  const std::size_t group = part.group(op.shape);
  const std::size_t queries = std::max<std::size_t>(1, block_target / group);
  const std::size_t blocks = (part.rows + queries - 1) / queries;
  const std::size_t rows = padded_rows(queries * group);
  const std::size_t dim = part.view.head_dim;
  const std::size_t bytes = TileWork::bytes(rows, dim, pairs);
  op.context.parallel_for(blocks * part.view.kv_heads, 1, [&](std::size_t task, std::size_t, std::size_t thread) {
    const std::size_t head = task % part.view.kv_heads;
    const std::size_t first = (blocks - 1 - task / part.view.kv_heads) * queries;
    const std::size_t count = std::min(queries, part.rows - first);
    const TileContext tiles(op.context.kernels(), part.view, head, pairs, op.shape);
    TileWork work(static_cast<std::byte*>(op.context.thread_scratch(thread, bytes)), padded_rows(count * group), dim, pairs);
    const std::size_t end = begin_block(op, part, tiles, work, first, count);
    work.reset(true);
    work.attend(tiles, 0, end, true);
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

std::size_t longest_head(const KvView& view) {
  std::int32_t most = 0;
  for (std::size_t head = 0; head < view.kv_heads; head++) most = std::max(most, view.lengths[head]);
  return static_cast<std::size_t>(most);
}

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
  const bool pairs = compute == Compute::int8 && context.kernels().products.bf16;
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

}  // namespace kvsift

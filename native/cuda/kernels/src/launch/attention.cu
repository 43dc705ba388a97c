#include "launch/attention.h"

#include <algorithm>
#include <vector>

#include "kernels/columns.cuh"
#include "kernels/prefill.cuh"
#include "kernels/score_rows.cuh"
#include "launch/guard.h"
#include "launch/pack.h"
#include "launch/prefill_wide.h"
#include "launch/tiles.h"
#include "launch/widen_heads.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

/** Query vectors of a KV head up to which the split-entry kernel is used. */
constexpr std::size_t few_vectors = 16;

constexpr std::size_t largest = 0x7fffffff - 256;

/** Parts into which the entries of few rows are cut at most. */
constexpr std::size_t most_splits = 64;

template <class Element>
void start_dim(const Launch& launch, std::size_t head_dim, Grid grid, const PrefillArguments* prefill, const ColumnWork* columns) {
  switch (head_dim) {
    case 64: return start_tiles<Element, 64>(launch, grid, prefill, columns);
    case 80: return start_tiles<Element, 80>(launch, grid, prefill, columns);
    case 96: return start_tiles<Element, 96>(launch, grid, prefill, columns);
    case 128: return start_tiles<Element, 128>(launch, grid, prefill, columns);
    default: return start_tiles<Element, 256>(launch, grid, prefill, columns);
  }
}

void start_type(const Launch& launch, const KvView& view, Grid grid, const PrefillArguments* prefill, const ColumnWork* columns) {
  if (view.type == KVSIFT_CUDA_F16) return start_dim<F16>(launch, view.head_dim, grid, prefill, columns);
  start_dim<BF16>(launch, view.head_dim, grid, prefill, columns);
}

std::vector<SightedRows> sighted(const Launch& launch, std::span<const KvSegment> segments, const AttentionShape& shape, const std::int32_t* positions) {
  std::vector<SightedRows> parts;
  std::size_t packed = 0;
  for (const KvSegment& segment : segments) {
    check_view(launch, segment.view, "view");
    check_shape(launch, shape, segment.view, positions);
    const KvView& first = segments.front().view;
    launch.require(segment.view.kv_heads == first.kv_heads && segment.view.head_dim == first.head_dim, KVSIFT_CUDA_SHAPE_MISMATCH,
                   "the views of a batch differ in heads or head dim");
    launch.require(segment.view.type == first.type, KVSIFT_CUDA_DTYPE_MISMATCH, "the views of a batch differ in dtype");
    launch.require(packed + segment.rows <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many rows");
    Sight sight;
    sight.rows = static_cast<int>(segment.rows);
    sight.window = shape.window;
    sight.positions = positions == nullptr ? nullptr : positions + packed;
    if (segment.rows > 0) parts.push_back({segment.view, sight, static_cast<int>(packed)});
    packed += segment.rows;
  }
  return parts;
}

std::vector<KvView> views_of(const std::vector<SightedRows>& parts) {
  std::vector<KvView> views;
  for (const SightedRows& part : parts) views.push_back(part.view);
  return views;
}

/** Replaces the lengths of the views by such that can be trusted, and holds their memory. `exactly` as in `guard`. */
class Trusted {
 public:
  Trusted(const Launch& launch, std::vector<SightedRows>& parts, int exactly) : lengths_(launch, guard_bytes(views_of(parts))) {
    std::vector<KvView> views = views_of(parts);
    guard(launch, views, exactly, lengths_.as<std::int32_t>());
    for (std::size_t i = 0; i < parts.size(); i++) parts[i].view = views[i];
  }

 private:
  const Scratch lengths_;
};

/** All rows up to the last part's. */
std::size_t rows_of(const std::vector<SightedRows>& parts) { return static_cast<std::size_t>(parts.back().packed + parts.back().sight.rows); }

SightedRows column_rows(const Launch& launch, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments) {
  check_view(launch, view, "view");
  check_shape(launch, arguments.shape, view, arguments.positions);
  launch.require(rows <= largest && n <= largest && arguments.behind <= largest, KVSIFT_CUDA_UNSUPPORTED, "too many rows or entries");
  Sight sight;
  sight.rows = static_cast<int>(rows);
  sight.behind = static_cast<int>(arguments.behind);
  sight.causal = arguments.mask == KVSIFT_CUDA_MASK_CAUSAL;
  sight.window = arguments.shape.window;
  sight.ends = arguments.ends;
  sight.positions = arguments.positions;
  return {view, sight, 0};
}

SightedRows part_of(SightedRows all, int first, int rows) {
  // The causal rule counts from the last row: rows that are left out behind these are rows behind.
  all.sight.behind += all.sight.rows - first - rows;
  all.sight.rows = rows;
  if (all.sight.ends != nullptr) all.sight.ends += first;
  if (all.sight.positions != nullptr) all.sight.positions += first;
  return all;
}

/** Calls `use(first, rows, logits, sums)` for batches of rows. */
template <class Use>
void each_batch(const Launch& launch, const float* q, const SightedRows& all, std::size_t n, const AttentionShape& shape, const float* known, Use&& use) {
  constexpr std::size_t room = std::size_t{16} << 20;  // floats
  const std::size_t row_floats = shape.query_heads * n;
  const int batch = static_cast<int>(std::clamp<std::size_t>(room / std::max<std::size_t>(row_floats, 1), 1, static_cast<std::size_t>(all.sight.rows)));
  const Scratch logits(launch, static_cast<std::size_t>(batch) * row_floats * sizeof(float));
  const Scratch sums(launch, static_cast<std::size_t>(batch) * shape.query_heads * sizeof(float));
  for (int first = 0; first < all.sight.rows; first += batch) {
    const int rows = std::min(batch, all.sight.rows - first);
    const std::size_t count = static_cast<std::size_t>(rows) * row_floats;
    launch.check(start_kernel(fill_floats, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, logits.as<float>(), lowest, count));
    const SightedRows part = part_of(all, first, rows);
    run_decode(launch, {&part, 1}, shape, q + static_cast<std::size_t>(first) * shape.query_heads * all.view.head_dim,
               {nullptr, known == nullptr ? sums.as<float>() : nullptr, logits.as<float>(), n});
    use(first, rows, logits.as<float>(), known == nullptr ? sums.as<float>() : known + static_cast<std::size_t>(first) * shape.query_heads);
  }
}

}  // namespace

void run_prefill(const Launch& launch, std::span<const SightedRows> parts, const AttentionShape& shape, const void* q, const AttentionOutputs& outputs) {
  for (std::size_t first = 0; first < parts.size(); first += prefill_pieces) {
    const std::size_t count = std::min<std::size_t>(prefill_pieces, parts.size() - first);
    PrefillArguments a{};
    int rows = 0;
    for (std::size_t i = 0; i < count; i++) {
      const SightedRows& part = parts[first + i];
      a.pieces[i] = {part.view, part.sight, part.packed};
      rows = std::max(rows, part.sight.rows);
    }
    const KvView& view = parts.front().view;
    // Results in twos: nobody but a test has them elsewhere.
    const bool in_pairs = reinterpret_cast<std::uintptr_t>(outputs.out) % 8 == 0;
    a.group = static_cast<int>(shape.query_heads / view.kv_heads);
    a.query_heads = static_cast<int>(shape.query_heads);
    a.rule = logit_rule(shape.scale, shape.softcap);
    a.q = q;
    a.out = outputs.out;
    a.log_sum_exp = outputs.log_sum_exp;
    a.splits = 1;
    if (static_cast<std::size_t>(rows) >= wide_from && in_pairs && wide_fits(launch, view, shape)) {
      start_prefill_wide(launch, a, rows, count);
      continue;
    }
    const Grid grid{static_cast<unsigned>(ceil_div(static_cast<std::size_t>(rows), tile_rows)), static_cast<unsigned>(shape.query_heads),
                    static_cast<unsigned>(count)};
    start_type(launch, view, grid, &a, nullptr);
  }
}

void run_log_sums(const Launch& launch, const SightedRows& part, const AttentionShape& shape, const void* q, float* log_sum_exp) {
  const std::size_t tiles = ceil_div(static_cast<std::size_t>(part.sight.rows), tile_rows);
  // A few rows are few blocks: their entries are cut so that the device is full.
  const std::size_t wanted = ceil_div(4 * static_cast<std::size_t>(launch.context.multiprocessors), tiles * shape.query_heads);
  const std::size_t splits = std::min({wanted, ceil_div(part.view.max_length, 2 * tile_rows), most_splits});
  const bool wide = static_cast<std::size_t>(part.sight.rows) >= wide_from && wide_fits(launch, part.view, shape);
  if (splits <= 1 || wide) return run_prefill(launch, {&part, 1}, shape, q, {nullptr, log_sum_exp, nullptr, 0});
  const std::size_t count = static_cast<std::size_t>(part.sight.rows) * shape.query_heads;
  const Scratch sums(launch, splits * count * sizeof(float));
  PrefillArguments a{};
  a.pieces[0] = {part.view, part.sight, part.packed};
  a.group = static_cast<int>(shape.query_heads / part.view.kv_heads);
  a.query_heads = static_cast<int>(shape.query_heads);
  a.rule = logit_rule(shape.scale, shape.softcap);
  a.q = q;
  a.log_sum_exp = sums.as<float>();
  a.splits = static_cast<int>(splits);
  a.stride = count;
  start_type(launch, part.view, Grid{static_cast<unsigned>(tiles * splits), static_cast<unsigned>(shape.query_heads), 1}, &a, nullptr);
  launch.check(start_kernel(join_sums, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, sums.as<float>(), a.splits, count, log_sum_exp));
}

void run_columns(const Launch& launch, const SightedRows& part, const AttentionShape& shape, std::size_t n, bool maximum, const void* q,
                 const float* log_sum_exp, float* out) {
  ColumnWork a{};
  a.view = part.view;
  a.sight = part.sight;
  a.n = static_cast<int>(n);
  a.group = static_cast<int>(shape.query_heads / part.view.kv_heads);
  a.query_heads = static_cast<int>(shape.query_heads);
  a.maximum = maximum;
  a.rule = logit_rule(shape.scale, shape.softcap);
  a.q = q;
  a.log_sum_exp = log_sum_exp;
  a.out = out;
  if (static_cast<std::size_t>(part.sight.rows) >= wide_from && wide_fits(launch, part.view, shape)) return start_columns_wide(launch, a);
  start_type(launch, part.view, Grid{static_cast<unsigned>(ceil_div(n, tile_rows)), static_cast<unsigned>(shape.query_heads), 1}, nullptr, &a);
}

void attention(const Launch& launch, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape, const std::int32_t* positions,
               float* out, float* log_sum_exp) {
  std::vector<SightedRows> parts = sighted(launch, segments, shape, positions);
  if (parts.empty()) return;
  launch.pointer(q, "q", 4);
  launch.pointer(out, "out", 4);
  const Trusted lengths(launch, parts, -1);
  const std::size_t vectors = rows_of(parts) * shape.query_heads;
  const WideHeads wide(launch, parts, q, vectors);
  const AttentionOutputs outputs{wide.results(out), log_sum_exp, nullptr, 0};
  std::vector<SightedRows> few;
  std::vector<SightedRows> many;
  for (const SightedRows& part : parts) {
    const std::size_t own = static_cast<std::size_t>(part.sight.rows) * (shape.query_heads / part.view.kv_heads);
    (own <= few_vectors || !tiles_fit(as_halves(part.view)) ? few : many).push_back(part);
  }
  run_decode(launch, few, shape, wide.q(), outputs);
  if (!many.empty()) {
    const HalfViews halves(launch, many);
    const std::size_t count = vectors * parts.front().view.head_dim;
    const Scratch packed(launch, count * 2);
    pack_elements(launch, many.front().view.type, wide.q(), packed.as<void>(), count);
    run_prefill(launch, many, shape, packed.as<void>(), outputs);
  }
  wide.finish(out);
}

void attention_decode(const Launch& launch, std::span<const KvSegment> segments, const float* q, const AttentionShape& shape,
                      const std::int32_t* positions, const AttentionOutputs& outputs) {
  std::vector<SightedRows> parts = sighted(launch, segments, shape, positions);
  if (parts.empty()) return;
  launch.pointer(q, "q", 4);
  launch.pointer(outputs.out, "out", 4);
  if (outputs.scores != nullptr) {
    for (const SightedRows& part : parts) {
      launch.require(part.view.max_length <= outputs.score_stride, KVSIFT_CUDA_SHAPE_MISMATCH, "scores have less room than a head has entries");
    }
    const std::size_t count = rows_of(parts) * shape.query_heads * outputs.score_stride;
    launch.check(start_kernel(fill_floats, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, outputs.scores, lowest, count));
  }
  const Trusted lengths(launch, parts, -1);
  const WideHeads wide(launch, parts, q, rows_of(parts) * shape.query_heads);
  run_decode(launch, parts, shape, wide.q(), {wide.results(outputs.out), outputs.log_sum_exp, outputs.scores, outputs.score_stride});
  wide.finish(outputs.out);
}

void attention_columns(const Launch& launch, const float* q, std::size_t rows, const KvView& view, std::size_t n, bool maximum,
                       const ColumnArguments& arguments, float* out) {
  std::vector<SightedRows> parts{column_rows(launch, rows, view, n, arguments)};
  if (n == 0) return;
  launch.pointer(out, "out", 4);
  const AttentionShape& shape = arguments.shape;
  if (rows == 0) return fill_bytes(launch, out, 0, shape.query_heads * n * sizeof(float));
  launch.pointer(q, "q", 4);
  const Trusted lengths(launch, parts, static_cast<int>(n));
  const WideHeads wide(launch, parts, q, rows * shape.query_heads);
  if (arguments.exact != 0 || !tiles_fit(as_halves(parts.front().view))) {
    each_batch(launch, wide.q(), parts.front(), n, shape, arguments.log_sum_exp, [&](int first, int batch, const float* logits, const float* sums) {
      launch.check(start_kernel(column_fold, Grid{blocks_for(launch, n, 256), static_cast<unsigned>(shape.query_heads), 1}, 256, 0, launch.stream, logits,
                                sums, batch, static_cast<int>(shape.query_heads), static_cast<int>(n), maximum, first == 0, out));
    });
    return;
  }
  const HalfViews halves(launch, parts);
  const SightedRows& part = parts.front();
  const std::size_t count = rows * shape.query_heads * part.view.head_dim;
  const Scratch packed(launch, count * 2);
  const Scratch sums(launch, arguments.log_sum_exp == nullptr ? rows * shape.query_heads * sizeof(float) : 0);
  pack_elements(launch, part.view.type, wide.q(), packed.as<void>(), count);
  if (arguments.log_sum_exp == nullptr) run_log_sums(launch, part, shape, packed.as<void>(), sums.as<float>());
  run_columns(launch, part, shape, n, maximum, packed.as<void>(), arguments.log_sum_exp == nullptr ? sums.as<float>() : arguments.log_sum_exp, out);
}

void attention_rows(const Launch& launch, const float* q, std::size_t rows, const KvView& view, std::size_t n, const ColumnArguments& arguments,
                    float* out) {
  std::vector<SightedRows> parts{column_rows(launch, rows, view, n, arguments)};
  if (n == 0 || rows == 0) return;
  launch.pointer(q, "q", 4);
  launch.pointer(out, "out", 4);
  const AttentionShape& shape = arguments.shape;
  const std::size_t count = rows * shape.query_heads * n;
  const Scratch logits(launch, count * sizeof(float));
  const Scratch sums(launch, rows * shape.query_heads * sizeof(float));
  launch.check(start_kernel(fill_floats, Grid{blocks_for(launch, count, 256), 1, 1}, 256, 0, launch.stream, logits.as<float>(), lowest, count));
  const Trusted lengths(launch, parts, static_cast<int>(n));
  const WideHeads wide(launch, parts, q, rows * shape.query_heads);
  const bool known = arguments.log_sum_exp != nullptr;
  run_decode(launch, parts, shape, wide.q(), {nullptr, known ? nullptr : sums.as<float>(), logits.as<float>(), n});
  const auto pairs = static_cast<unsigned>(std::min<std::size_t>(rows * shape.query_heads, 65535));
  launch.check(start_kernel(row_probabilities, Grid{blocks_for(launch, n, 256), pairs, 1}, 256, 0, launch.stream, logits.as<float>(),
                            known ? arguments.log_sum_exp : sums.as<float>(), static_cast<int>(rows), static_cast<int>(shape.query_heads),
                            static_cast<int>(n), out));
}

}  // namespace kvsift::KVSIFT_TARGET

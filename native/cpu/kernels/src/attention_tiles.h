#pragma once

#include <cstddef>
#include <cstdint>

#include "flush_scope.h"
#include "kernel_table.h"
#include "kv_rows.h"
#include "kvsift/attention.h"

namespace kvsift {

/** Entries per tile, at most. Tiles begin at slot 0 of every head, so that results do not depend on who computes what. */
inline constexpr std::size_t tile_entries = 128;
/** Query rows whose scores are held at a time, at most. */
inline constexpr std::size_t score_rows = 48;
/** Query rows that go through a tile together in f32 where values are gathered too: then scores, keys and values share the first-level cache. */
inline constexpr std::size_t pass_rows = 24;

/** Query rows of one KV head: the `group` heads of `queries` consecutive token rows, heads of a token side by side. */
struct QueryBlock {
  const float* q;             // first token's first head
  std::size_t queries;
  std::size_t group;
  std::size_t token_stride;   // floats from token to token
};

/** What a query block needs to know of the op. */
struct TileContext {
  const KernelTable& kernels;
  const KvView& view;
  std::size_t head;
  bool pairs;        // bf16 dot products
  bool steps;        // scores are `score_steps` times the logits, for softmax_in_steps
  float query_scale; // on queries, so that scores are base-2 logits (before capping)
  float cap;         // on scores, base 2; 0: none
  std::size_t entries;  // of a tile, from row to row of its scores and weights
  PairScope scope;
  FlushScope flush;

  /** `attends`: for TileWork::attend, not for scores themselves. */
  TileContext(const KernelTable& table, const KvView& kv_view, std::size_t kv_head, bool bf16, const AttentionShape& shape, bool attends = false);
};

/** Weights of all tiles of a query block, for those who add them up once the sums of the rows are known. */
struct KeptWeights {
  std::uint16_t* weights;  // bf16 [tiles][rows][entries]: 2^(logit − top)
  float* top;              // [tiles][rows]; −1e30 where the row has no weights in the tile

  static std::size_t bytes(std::size_t tiles, std::size_t rows, std::size_t entries) { return tiles * rows * (entries * sizeof(std::uint16_t) + sizeof(float)); }
};

/** Keys and values of one head, packed once for several query blocks. */
struct PackedTiles {
  std::byte* data;
  std::size_t first;   // slot of the first tile
  std::size_t length;  // slots of the head
  std::size_t key_bytes;
  std::size_t value_bytes;

  std::byte* keys(std::size_t tile) const { return data + tile * (key_bytes + value_bytes); }
  std::byte* values(std::size_t tile) const { return keys(tile) + key_bytes; }
};

/** Packed entries that some rows attend to. */
struct PlacedTile {
  std::size_t start;   // slot of the first
  std::size_t count;
  std::size_t stride;  // entries from panel to panel of values
  bool bounded;        // as `scores_bounded` says
  bool passes;         // kernels take whole passes of it
};

/** Working memory of one query block, all in one piece of scratch. */
class TileWork {
 public:
  /** Bytes for a block of `rows` query rows (already a multiple of 4). */
  static std::size_t bytes(std::size_t rows, std::size_t head_dim, bool pairs);
  TileWork(std::byte* memory, std::size_t rows, std::size_t head_dim, bool pairs);

  /** Takes queries in, scaled; rows beyond them are zero and see nothing. */
  void load(const TileContext& context, const QueryBlock& block);
  /** Slots that the rows of query `index` see. */
  void set_range(std::size_t index, std::size_t group, std::size_t first, std::size_t last);
  /** Forgets what was gathered. */
  void reset(bool with_output);
  /** Brings keys of a tile into place. */
  void pack_keys(const TileContext& context, std::size_t start, std::size_t count);
  void pack_values(const TileContext& context, std::size_t start, std::size_t count);
  /** True where scores of the queries and the first keys in place are small enough for softmax_in_steps. */
  bool scores_bounded(const TileContext& context, std::size_t count) const;
  /** Takes a tile of scores into the state. */
  void weigh(const TileContext& context, const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* weights, bool bounded) const;
  /** Scores of rows [first, first + count), capped. */
  ScoreTile score(const TileContext& context, std::size_t start, std::size_t count, std::size_t first_row, std::size_t rows);
  AttentionPass pass_at(const TileContext& context, const PlacedTile& placed, std::size_t row, std::uint16_t* weights, bool turns) const;
  /** Attends to a tile in place; returns the columns of weights that are written. */
  std::size_t attend_rows(const TileContext& context, const PlacedTile& placed, std::size_t row, std::size_t row_count, bool with_values, std::uint16_t* weights);
  /** Attends to the tiles of slots [begin, end); begin is the start of a tile. Without values only the sums are gathered. `kept`: with pairs only. */
  void attend(const TileContext& context, std::size_t begin, std::size_t end, bool with_values, const KeptWeights* kept = nullptr,
              const PackedTiles* packed = nullptr);
  /** The same for the first `used` rows, at most `score_rows`, in f32 straight from the cache; head_dim a multiple of 16. */
  void attend_few(const TileContext& context, std::size_t begin, std::size_t end, std::size_t used);
  /** True where one of the rows sees one of the slots. */
  bool any_sees(std::size_t first_row, std::size_t rows, std::size_t start, std::size_t end) const;

  std::size_t rows;
  std::size_t head_dim;
  bool pairs;
  std::size_t query_stride;
  float largest_query;  // in magnitude; only where the context has `steps`
  std::byte* queries;
  float* scores;
  std::uint16_t* halves;
  std::byte* keys;
  std::byte* values;
  std::byte* turning;
  const std::byte** pointers;
  const std::byte** more_pointers;
  float* out;
  float* top;
  float* sum;
  std::int32_t* first;
  std::int32_t* last;
};

/** Slots [first, last) that a query sees which may look at the first `end` entries. */
struct SlotRange {
  std::size_t first;
  std::size_t last;
};
SlotRange visible_slots(const KvView& view, const HeadRows& rows, std::size_t length, std::int64_t end, const AttentionShape& shape,
                        const std::int32_t* position);

/** Natural log-sum-exp from a base-2 state; −∞ where nothing was seen. */
float natural_log_sum(float top, float sum);

inline std::size_t padded_rows(std::size_t rows) { return (rows + 3) / 4 * 4; }

}  // namespace kvsift

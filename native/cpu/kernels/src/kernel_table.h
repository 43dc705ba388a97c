#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/elementwise.h"
#include "kvsift/isa.h"
#include "kvsift/reduce.h"
#include "panels.h"

namespace kvsift {

/** Kernels on rows of f32. */
struct RowKernels {
  void (*rms_norm)(const float* x, std::size_t count, const float* weight, float epsilon, float offset, float* out);
  void (*silu)(const float* gate, const float* up, std::size_t count, float* out);
  void (*gelu_tanh)(const float* gate, const float* up, std::size_t count, float* out);
  void (*softcap)(const float* x, std::size_t count, float cap, float* out);
  /** NaN counts as −∞. */
  float (*largest)(const float* x, std::size_t count);
  /** Σ e^(x − top) for top the largest of them; NaN adds nothing. */
  double (*exp_sum)(const float* x, std::size_t count, float top);
  /** Σ |x| and Σ x². */
  float (*absolute_sum)(const float* x, std::size_t count);
  float (*square_sum)(const float* x, std::size_t count);
  /** cos and sin of position · inverse[c], times scale. */
  void (*rope_table)(std::int32_t position, const float* inverse, std::size_t half, float scale, float* cosines, float* sines);
  void (*rotate)(const float* x, const float* cosines, const float* sines, std::size_t half, float* out);
  void (*to_f16)(const float* x, std::size_t count, std::uint16_t* out);
  void (*to_bf16)(const float* x, std::size_t count, std::uint16_t* out);
  void (*from_f16)(const std::uint16_t* x, std::size_t count, float* out);
  void (*from_bf16)(const std::uint16_t* x, std::size_t count, float* out);
  /** Whole blocks of q8_0. */
  void (*to_q8)(const float* x, std::size_t count, std::byte* out);
  void (*from_q8)(const std::byte* x, std::size_t count, float* out);
  /** Place of each key in ascending order, equal ones by index, found by comparing all with all; behind `count` keys come the largest number up to a multiple of 16. */
  void (*rank_few)(const std::int32_t* keys, std::size_t count, float* ranks);
};

/** Element by element; see kvsift/elementwise.h. */
struct ElementKernels {
  void (*map)(UnaryOp op, const float* x, std::size_t count, float* out);
  void (*zip)(BinaryOp op, const ZipSide& a, const ZipSide& b, std::size_t rows, std::size_t columns, float* out);
};

/** Of at least one value; see kvsift/reduce.h. */
struct ReduceKernels {
  void (*rows)(ReduceOp op, const float* x, std::size_t rows, std::size_t size, float* out);
  void (*columns)(ReduceOp op, const float* x, std::size_t size, std::size_t stride, std::size_t columns, float* out);
};

/** Rows of activations as signed bytes with a scale per block of 32. */
struct QuantizedRows {
  const std::int8_t* codes;    // [rows, columns]
  const float* scales;         // [rows, columns / 32]
  const std::int32_t* extras;  // [rows, columns / group]: −zero · Σ codes as i32, or scale · Σ codes as f32 where the format has minimums
  std::size_t columns;
};

/** Where products of some rows with at most `panels · 16` weight rows go. Pointers are those of the first column. */
struct ProductTarget {
  float* out;
  std::size_t stride;      // of out and residual
  std::size_t columns;     // to write
  const float* bias;       // or null
  const float* residual;   // or null
};

/** Panels that code_tile takes at a time, at most, side by side: whole lines of memory for what it writes. */
inline constexpr std::size_t tile_panels = 2;

/** Codes of panels, one byte each, scales widened: what many rows are multiplied with. */
struct CodeTile {
  const std::uint8_t* codes;   // [K / 4][16][4] per panel
  std::size_t code_stride;     // bytes from panel to panel
  const float* scales;         // [K / group][16] per panel, panels back to back
  const float* minimums;       // likewise, or null
};

/** Matrix products: rows of activations times 16-row panels of weights. */
struct ProductKernels {
  std::size_t block_panels;  // panels that value_tile takes at a time, at most
  bool bf16;                // has the bf16 kernels
  std::size_t pair_pass;     // rows that attention takes through pair_tile together, and entries per tile, at most 128: so that all that meets there
  std::size_t pair_entries;  // stays in the first-level cache

  /** A thread calls these before and after its calls of pair_tile, to set up and give back what the machine keeps for them; or null. */
  void (*begin_pairs)();
  void (*end_pairs)();

  /** Codes, scales and the sum of each 16 codes of one row. */
  void (*quantize)(const float* x, std::size_t columns, std::int8_t* codes, float* scales, std::int32_t* sums);
  void (*unpack_codes)(const PanelSection& section, const std::byte* panel, std::uint8_t* codes, float* scales, float* minimums);
  /** Values [first, last) of a panel's K as f32 [last − first][16]. */
  void (*unpack_values)(const PanelSection& section, const std::byte* panel, std::size_t first, std::size_t last, float* values);

  void (*code_tile)(const CodeFormat& format, const CodeTile& tile, std::size_t panels, const QuantizedRows& x, std::size_t rows, const ProductTarget& target);
  /** Few rows straight from packed panels [first, last) of a section; the target is the section's first column. */
  void (*code_panels)(const PanelSection& section, std::size_t first, std::size_t last, const QuantizedRows& x, std::size_t rows, const ProductTarget& target);
  /** values: [depth][16] per panel, `value_stride` floats apart. `first`: bias and residual are added, else the products are added to what is there. */
  void (*value_tile)(const float* values, std::size_t value_stride, std::size_t panels, std::size_t depth, const float* x, std::size_t x_stride, std::size_t rows,
                     bool first, const ProductTarget& target);
  /** A panel of codes or f16 as bf16 pairs [⌈K / 2⌉][16][2]; null where many rows are not faster that way than by codes. */
  void (*unpack_pairs)(const PanelSection& section, const std::byte* panel, std::byte* pairs);
  /** bf16 pairs: any number of panels [pairs][16][2] `panel_stride` bytes apart, x [rows, x_stride] of bf16. */
  void (*pair_tile)(const std::byte* panels_data, std::size_t panel_stride, std::size_t panels, std::size_t pairs, const std::uint16_t* x, std::size_t x_stride,
                    std::size_t rows, const ProductTarget& target);
  /**
   * sums [rows] += Σ |x · w| or (x · w)² over an even number of panels, which go nowhere else; `steps` of 16 pairs, 1 to 4, and rows in multiples of 16. Null
   * where pair_tile and the sums of its rows are as fast.
   */
  void (*pair_sizes)(const std::byte* panels_data, std::size_t panel_stride, std::size_t panels, std::size_t steps, const std::uint16_t* x, std::size_t x_stride,
                     std::size_t rows, bool squares, float* sums);
};

/** While it lives, this thread may call pair_tile. */
class PairScope {
 public:
  explicit PairScope(const ProductKernels& kernels, bool wanted = true) : end_(wanted ? kernels.end_pairs : nullptr) {
    if (end_ != nullptr) kernels.begin_pairs();
  }
  ~PairScope() {
    if (end_ != nullptr) end_();
  }
  PairScope(const PairScope&) = delete;
  PairScope& operator=(const PairScope&) = delete;

 private:
  void (*end_)();
};

/** Scores of some query rows against the entries [start, start + count) of a head: f32 [rows, stride], base-2 logits. */
struct ScoreTile {
  float* scores;
  std::size_t stride;
  std::size_t rows;
  std::size_t width;           // columns there are, a multiple of 32; those from count on are nothing
  std::size_t start;
  std::size_t count;
  const std::int32_t* first;   // [rows]: slots that the row sees
  const std::int32_t* last;    // [rows], exclusive
};

/** Steps of bf16 from one power of two to the next: in these units a logit is nearly the bits of its weight. */
inline constexpr float score_steps = 128;

/** What a row has gathered so far. */
struct SoftmaxState {
  float* top;       // [rows]: largest logit, base 2 (softmax_in_steps: or one not far below); −1e30 at first
  float* sum;       // [rows]: Σ 2^(logit − top)
  float* out;       // [rows, head_dim]: Σ 2^(logit − top) · value, or null
  std::size_t head_dim;
};

/** Rows of some entries in a cache. */
struct EntryRows {
  const std::byte* const* rows;
  std::size_t count;
};

/** Rows of an AttentionPass, and their head dim. */
inline constexpr std::size_t pass_tile = 16;
inline constexpr std::size_t pass_dim = 64;

/** 16 query rows of head dim 64 and a tile of entries that they attend to, all of bf16 as pair_tile takes it; scores in steps, as softmax_in_steps. */
struct AttentionPass {
  const std::uint16_t* queries;  // [16][64]
  const std::byte* keys;         // panels, back to back
  const std::byte* values;       // panels, value_stride bytes apart
  std::size_t value_stride;
  std::size_t start;             // slot of the first entry
  std::size_t width;             // entries, a multiple of 32
  const std::int32_t* first;     // [16]: slots that the row sees
  const std::int32_t* last;
  float* top;                    // [16], as SoftmaxState
  float* sum;
  float* out;                    // [16][64]
  std::uint16_t* weights;        // [16][width], weight_stride apart
  std::size_t weight_stride;
  bool turns;                    // of several passes, every other one's weights lie in the same place
};

/** Rows whose products with themselves are wanted, head by head, each column less its centre. */
struct CentredRows {
  const float* x;
  std::size_t stride;
  std::size_t rows;
  std::size_t heads;
  std::size_t dim;
  const float* centre;  // [heads · dim]
};

/** Parts of attention around the matrix products. */
struct AttentionKernels {
  /** Keys as panels of 16 for products over head_dim: f32 [panels][head_dim][16], or bf16 pairs [panels][⌈head_dim / 2⌉][16][2]; panels up to a multiple of 32 entries. */
  void (*pack_keys)(DType type, const std::byte* const* rows, std::size_t count, std::size_t head_dim, bool pairs, std::byte* scratch, std::byte* tile);
  /** Values as panels of 16 channels for products over entries: f32 [panels][entries][16], or pairs [panels][entries / 2][16][2]; `entries` at least count, even. */
  void (*pack_values)(DType type, const std::byte* const* rows, std::size_t count, std::size_t entries, std::size_t head_dim, bool pairs, std::byte* tile);
  /**
   * Adds the rows up and brings them into both forms that pair_tile multiplies: panels of 16 columns [heads][⌈dim / 16⌉][pairs][16][2], and turned round
   * [heads][⌈dim / 16⌉ · 16][2 · pairs]; rows up to a multiple of 32, and columns, with zeros. Only where products.bf16.
   */
  void (*pack_centred)(const CentredRows& from, float* sums, std::byte* panels, std::byte* turned);
  /** Few query rows against entries, straight from the cache; head_dim a multiple of 16. q f32 [rows, head_dim], scores [rows, stride] up to a multiple of 32 columns. */
  void (*few_scores)(DType type, const EntryRows& entries, const EntryRows& upcoming, std::size_t head_dim, const float* q, std::size_t rows, float* scores,
                     std::size_t stride);
  /** out [rows, head_dim] += weights [rows, stride] · values of the entries; head_dim a multiple of 16. */
  void (*few_values)(DType type, const EntryRows& entries, const EntryRows& upcoming, std::size_t head_dim, const float* weights, std::size_t stride,
                     std::size_t rows, float* out);
  /** cap · tanh(x) in place. */
  void (*cap_scores)(float* scores, std::size_t count, float cap);
  /** Takes a tile into the state: scores become 2^(logit − new top) in place, or in `halves` (bf16 [rows, stride]) where that is given. */
  void (*softmax)(const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* halves);
  /**
   * The same with scores of `score_steps` times the logits, each of them below 2²⁹ in magnitude, to bf16; null where there is none. The top is the largest
   * logit of the first tile that a row sees, and moves only when a later one lies far above it: weights may be above 1.
   */
  void (*softmax_in_steps)(const ScoreTile& tile, const SoftmaxState& state, std::uint16_t* halves);
  /**
   * Products, weights and products again in one go; null where there is none. False where it left sums as they were, and softmax_in_steps has to take over: a row
   * sees its first entries, or some that are far above those.
   */
  bool (*attend_pass)(const AttentionPass& pass);
  /**
   * The same for those of up to 64 passes, one behind the other, whose rows see all of a tile of pair_entries: what one of them waits for, others fill. Returns one
   * bit for each that is done.
   */
  std::uint64_t (*attend_whole)(const AttentionPass& tile, std::size_t passes);
  /** Largest magnitude among bf16 numbers; not a number where one is none. */
  float (*largest)(const std::uint16_t* x, std::size_t count);
  /** Adds up, or takes the maximum of, 2^(logit − lse) over the rows of each of `group` interleaved heads: columns [group, stride]. */
  void (*columns)(const ScoreTile& tile, const float* lse, std::size_t group, bool maximum, bool coarse, float* columns);
  /**
   * Adds up weights 2^(logit − top) of one tile, bf16 [rows, stride], as probabilities: columns[row mod group] += weight · 2^(top − lse) of the row.
   * Rows that see nothing have weights of 0. width: a multiple of 32; columns [group, stride]. Only where products.bf16: the factor is rounded as the
   * weights are.
   */
  void (*weigh_columns)(const std::uint16_t* weights, std::size_t stride, std::size_t rows, const float* top, const float* lse, std::size_t group,
                        std::size_t width, float* columns);
  /** sums += x in units of 2⁻³². */
  void (*add_exactly)(const float* x, std::size_t count, std::int64_t* sums);
  /** 2^(x − lse). */
  void (*probabilities)(const float* x, std::size_t count, float lse, float* out);
  void (*scale_rows)(const float* x, std::size_t count, float factor, float* out);
};

/** Loops that do one thing as fast as it goes; the arithmetic ones return operations done. */
struct LimitKernels {
  double (*multiply_add)(std::size_t rounds);
  double (*bf16_dot)(std::size_t rounds);  // null where there is none
  double (*byte_dot)(std::size_t rounds);
  void (*read)(const std::byte* data, std::size_t bytes);
};

/** All kernels of one instruction set. */
struct KernelTable {
  RowKernels rows;
  ElementKernels elements;
  ReduceKernels reductions;
  ProductKernels products;
  AttentionKernels attention;
  LimitKernels limits;
};

/** Of a supported instruction set. */
const KernelTable& kernel_table(Isa isa);

}  // namespace kvsift

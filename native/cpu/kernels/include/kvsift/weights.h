#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kvsift/context.h"
#include "kvsift/dtype.h"

namespace kvsift {

/** How products with weights are computed. */
enum class Compute : std::uint8_t {
  f32,   // weights widened exactly, f32 activations, f32 accumulation
  int8,  // block formats: activations quantised per block of 32 for integer dot products; f32, f16, bf16 weights: bf16 dot products
};

/** Whether products can be folded (their gate, their norms) before they exist as a whole. */
inline constexpr bool folds_products = true;

/** Rows of a matrix as they lie in a mapped file. */
struct WeightSource {
  DType type = DType::f32;
  /** First byte of row 0, any alignment. */
  const void* data = nullptr;
  /** Rows to take: as many as `row_order` has where there is one. */
  std::size_t rows = 0;
  /** Inputs; whole blocks. Equal for all sources of one weight. */
  std::size_t columns = 0;
  /** Row of `data` behind each row taken; null: in order. */
  const std::int32_t* row_order = nullptr;
};

/** Panels of 16 rows from one source (internal; see src/panels.h). */
struct PanelSection;

/**
 * A matrix [rows, columns] repacked for `linear`: the rows of all sources below each other. Block formats keep their bits (4-bit stays 4-bit, the
 * rest becomes 8-bit with one scale per 16 or 32 values), so the bytes are about those of the file. The sources are not referenced afterwards.
 */
class PackedWeight {
 public:
  /**
   * Packs in parallel.
   * @param compute what `linear` will mostly be asked for: under `int8`, f32 and f16 sources are rounded to bf16
   * @throws std::bad_alloc
   */
  PackedWeight(Context& context, std::span<const WeightSource> sources, Compute compute);
  ~PackedWeight();
  PackedWeight(PackedWeight&&) noexcept;
  PackedWeight& operator=(PackedWeight&&) noexcept;

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  /** Bytes held. */
  std::size_t bytes() const;
  std::span<const PanelSection> sections() const;

 private:
  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  std::vector<PanelSection> sections_;
};

/** f32 [rows of all sources, columns], exact, straight from the sources. */
void dequantize(Context& context, std::span<const WeightSource> sources, float* out);

/**
 * Rows `ids` of a table made of stacked sources, times `scale`: f32 [count, columns].
 * @return index in `ids` of the first id that is out of range (nothing else is promised then), or -1
 */
std::ptrdiff_t embedding(Context& context, std::span<const WeightSource> table, const std::int32_t* ids, std::size_t count, float scale, float* out);

}  // namespace kvsift

#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_table.h"
#include "kvsift/rows.h"
#include "kvsift/weights.h"

namespace kvsift {

/** Up to this many rows the weights are read once, straight from their panels. */
inline constexpr std::size_t few_rows = 8;
/** From this many rows on weights are worth bringing into bf16 pairs, where the machine has fast products of those. */
inline constexpr std::size_t pair_rows = 24;
/** Panels that a task takes at a time then, at most: their sums go to memory side by side. */
inline constexpr std::size_t pair_panels = 8;

enum class Path : std::uint8_t { codes, pairs, values };

/** How a section is multiplied. `many`: so many rows that a row's bits may depend on them. */
Path path_of(const PanelSection& section, Compute compute, const ProductKernels& kernels, bool many);

/** Whether many rows times all of a weight are products of bf16 pairs. */
bool takes_pairs(const PackedWeight& weight, Compute compute, const ProductKernels& kernels);

/** Whether rows quantised for one format serve the other too. */
bool same_extras(const CodeFormat& a, const CodeFormat& b);

/** The activations of one call in the forms that its sections need. */
struct Activations {
  const float* x = nullptr;
  std::size_t columns = 0;
  QuantizedRows codes{};
  const std::int32_t* sums = nullptr;  // of each 16 codes
  const std::uint16_t* halves = nullptr;
  std::size_t half_stride = 0;
};

/** Activations that are brought into a form when the first section needs it. Lives in shared scratch, slots 0 to 4. */
class Prepared {
 public:
  Prepared(Context& context, const float* x, std::size_t rows, std::size_t columns) : context_(context), rows_(rows) {
    activations_.x = x;
    activations_.columns = columns;
  }
  /** Rows that are bf16 pairs already, for sections that take those. */
  Prepared(Context& context, const std::uint16_t* halves, std::size_t stride, std::size_t rows, std::size_t columns) : context_(context), rows_(rows) {
    activations_.columns = columns;
    activations_.halves = halves;
    activations_.half_stride = stride;
  }

  const Activations& activations() const { return activations_; }
  /** @return what the section's format needs besides (with codes), valid until another format's are made */
  const std::int32_t* prepare(const PanelSection& section, Path path);

 private:
  Context& context_;
  std::size_t rows_;
  Activations activations_;
  const CodeFormat* filled_ = nullptr;
  std::int32_t* extras_ = nullptr;
};

/** What products of many rows with one section need. */
struct SectionProducts {
  const PanelSection& section;
  Path path;
  const Activations& x;
  const std::int32_t* extras;  // with codes

  /** `count` panels from `panel` on times rows [first, last), on the calling thread. */
  void multiply(Context& context, std::size_t thread, std::size_t panel, std::size_t count, std::size_t first, std::size_t last,
                const ProductTarget& target) const;
  /** Rows of one task, at most. */
  std::size_t most_rows() const;
  /** Panels of one task of `panels`, no more than `most` where that is a choice. */
  std::size_t width(const Context& context, std::size_t rows, std::size_t panels, std::size_t blocks, std::size_t most) const;
};

/** `linear` of rows that are prepared. */
void multiply(Context& context, Compute compute, const PackedWeight& weight, Prepared& prepared, std::size_t rows, bool apart, const float* bias,
              const float* residual, float* out);

/** Where gated rows go: f32 side by side, or bf16 with rows `stride` apart. */
struct GatedRows {
  float* floats;
  std::uint16_t* halves;
  std::size_t stride;
};

/** `gated_linear` of many rows whose halves meet while they are near; false, and nothing done, where they cannot. */
bool multiply_gated(Context& context, Compute compute, const PackedWeight& weight, Prepared& prepared, std::size_t rows, bool apart, const float* bias,
                    Activation activation, const GatedRows& out);

}  // namespace kvsift

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "formats.h"
#include "kvsift/weights.h"

namespace kvsift {

/** Rows side by side in a panel: one 512-bit register of f32, whatever the instruction set. */
inline constexpr std::size_t panel_rows = 16;

/** Values of an activation block that share a scale. */
inline constexpr std::size_t quant_block = 32;

enum class PanelKind : std::uint8_t {
  codes4,  // [K / 32][64 bytes x 4]: dword r of vector j: row r, low nibbles k = 4j ... 4j + 3, high nibbles k + 16
  codes8,  // [K / 4][16 rows][4]: one code each
  f32,     // [K][16 rows]
  f16,     // [K][16 rows]
  bf16,    // [K / 2][16 rows][2], K rounded up to even
};

/**
 * Panels of 16 rows of one source; the last one is filled up with zeros. A panel holds its codes (or values), then scales [K / group][16 rows]
 * and minimums likewise, f16 or f32, as `format` says.
 */
struct PanelSection {
  PanelKind kind = PanelKind::f32;
  CodeFormat format{};
  std::size_t first_row = 0;  // in the weight
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t panels = 0;
  std::size_t panel_bytes = 0;    // from one panel to the next
  std::size_t scale_offset = 0;   // in a panel
  std::size_t minimum_offset = 0;
  std::shared_ptr<std::byte> data;

  const std::byte* panel(std::size_t index) const { return data.get() + index * panel_bytes; }
  bool coded() const { return kind == PanelKind::codes4 || kind == PanelKind::codes8; }
};

}  // namespace kvsift

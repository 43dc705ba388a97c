#pragma once

#include <cstddef>
#include <cstdint>

#include "kvsift/context.h"

namespace kvsift::ops {

/** `RandomKey` of packages/tensor/src/random.ts. */
struct RandomKey {
  std::uint32_t seed = 0;
  std::uint32_t sequence = 0;
  std::uint32_t layer = 0;
  std::uint32_t purpose = 0;
};

/** f32 [rows, columns] in (0, 1): `uniformAt(key, row, column)`, Philox4x32-10 (Salmon et al., SC 2011). */
void uniform(Context& context, const RandomKey& key, std::size_t rows, std::size_t columns, float* out);

}  // namespace kvsift::ops

#include "ops/random.h"

#include <algorithm>
#include <array>

namespace kvsift::ops {

namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    const std::uint64_t first = std::uint64_t{0xd2511f53u} * counter[0];
    const std::uint64_t second = std::uint64_t{0xcd9e8d57u} * counter[2];
    counter = {static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(second),
               static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(first)};
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return counter;
}

}  // namespace

void uniform(Context& context, const RandomKey& key, std::size_t rows, std::size_t columns, float* out) {
  const std::size_t blocks = (columns + 3) / 4;
  context.parallel_for(rows * blocks, 4096, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; task++) {
      const std::size_t row = task / blocks;
      const std::size_t block = task % blocks;
      const Words words = philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(row), key.layer, key.purpose}, key.seed, key.sequence);
      for (std::size_t i = 0; i < std::min<std::size_t>(4, columns - block * 4); i++) {
        out[row * columns + block * 4 + i] = (static_cast<float>(words[i] >> 9) + 0.5f) / 8388608.0f;
      }
    }
  });
}

}  // namespace kvsift::ops

#pragma once

#include "attention_tiles.h"

namespace kvsift {

std::size_t longest_head(const KvView& view);

/**
 * Packs the tiles that `rows` query rows at the end of a view see, for all heads, where several blocks of rows need them and they take little memory. In
 * shared scratch, slot 0. Room for tiles that shorter heads do not have lies idle.
 */
class PackedSegment {
 public:
  /** @param positions of the rows, or null */
  PackedSegment(Context& context, const KvView& view, std::size_t rows, const AttentionShape& shape, const std::int32_t* positions, bool pairs,
                std::size_t blocks);

  bool there() const { return data_ != nullptr; }
  PackedTiles of(std::size_t head) const {
    return {data_ + head * tiles_ * (key_bytes_ + value_bytes_), first_, static_cast<std::size_t>(view_.lengths[head]), key_bytes_, value_bytes_};
  }

 private:
  const KvView& view_;
  std::byte* data_ = nullptr;
  std::size_t entries_ = 0;
  std::size_t first_ = 0;
  std::size_t tiles_ = 0;
  std::size_t key_bytes_ = 0;
  std::size_t value_bytes_ = 0;
};

}  // namespace kvsift

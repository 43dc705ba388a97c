#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "check.h"
#include "math/numbers.h"

namespace KVSIFT_TEST_SPACE {

enum class Layout { dense, flattened, paged };

inline const char* name_of(Layout layout) { return layout == Layout::dense ? "dense" : layout == Layout::flattened ? "flattened" : "paged"; }

inline std::uint16_t round_to(kvsift_cuda_dtype type, float x) {
  return type == KVSIFT_CUDA_F16 ? kvsift::KVSIFT_TARGET::f16_round(x) : kvsift::KVSIFT_TARGET::bf16_round(x);
}
inline float widen_from(kvsift_cuda_dtype type, std::uint16_t bits) {
  return type == KVSIFT_CUDA_F16 ? kvsift::KVSIFT_TARGET::f16_widen(bits) : kvsift::KVSIFT_TARGET::bf16_widen(bits);
}
/** Values of a block of q8_0 from its bytes, and its bytes from values. */
inline void encode_block(const float* x, unsigned char* out) {
  float top = 0;
  bool sound = true;
  for (int i = 0; i < 32; i++) {
    sound = sound && std::isfinite(x[i]);
    top = std::max(top, std::abs(x[i]));
  }
  const std::uint16_t scale = sound ? kvsift::KVSIFT_TARGET::f16_round(top / 127) : 0x7e00;
  std::memcpy(out, &scale, 2);
  for (int i = 0; i < 32; i++) out[2 + i] = static_cast<unsigned char>(sound && top > 0 ? static_cast<std::int8_t>(std::nearbyint(x[i] * (127 / top))) : 0);
}
inline void decode_block(const unsigned char* from, float* out) {
  std::uint16_t scale;
  std::memcpy(&scale, from, 2);
  for (int i = 0; i < 32; i++) out[i] = kvsift::KVSIFT_TARGET::f16_widen(scale) * static_cast<float>(static_cast<std::int8_t>(from[2 + i]));
}
/** What a stored element gives back. */
inline float stored(kvsift_cuda_dtype type, float x) { return type == KVSIFT_CUDA_F32 ? x : widen_from(type, round_to(type, x)); }

inline std::vector<float> stored(kvsift_cuda_dtype type, std::vector<float> x) {
  if (type == KVSIFT_CUDA_Q8_0) {
    unsigned char block[34];
    for (std::size_t i = 0; i < x.size(); i += 32) {
      encode_block(&x[i], block);
      decode_block(block, &x[i]);
    }
    return x;
  }
  for (float& value : x) value = stored(type, value);
  return x;
}

/** Bytes of elements of a type. */
inline std::vector<unsigned char> encode(kvsift_cuda_dtype type, const std::vector<float>& x) {
  if (type == KVSIFT_CUDA_Q8_0) {
    std::vector<unsigned char> blocks(x.size() / 32 * 34);
    for (std::size_t i = 0; i < x.size() / 32; i++) encode_block(&x[i * 32], &blocks[i * 34]);
    return blocks;
  }
  const std::size_t size = type == KVSIFT_CUDA_F32 ? 4 : 2;
  std::vector<unsigned char> out(x.size() * size);
  for (std::size_t i = 0; i < x.size(); i++) {
    if (size == 4) {
      std::memcpy(&out[4 * i], &x[i], 4);
    } else {
      const std::uint16_t bits = round_to(type, x[i]);
      std::memcpy(&out[2 * i], &bits, 2);
    }
  }
  return out;
}

/** What the entries of a cache are, on the host: per head, rows of head_dim values as stored. */
struct Entries {
  std::vector<std::vector<float>> keys, values;
  std::vector<std::vector<std::int32_t>> positions;
};

/** A cache on the device in one of the layouts; equal seeds give equal entries in all of them. */
class Cache {
 public:
  Cache(Layout layout, kvsift_cuda_dtype type, std::size_t head_dim, const std::vector<int>& lengths, unsigned seed, int room = 0, int gap = 1)
      : type_(type), head_dim_(head_dim), heads_(lengths.size()) {
    Numbers numbers(seed);
    const int most = *std::max_element(lengths.begin(), lengths.end());
    std::vector<std::int32_t> starts;
    std::vector<std::int32_t> table;
    std::size_t rows = 0;
    constexpr int block = 8;
    const int blocks = (most + room + block - 1) / block;
    for (std::size_t head = 0; head < heads_; head++) {
      // Rows that belong to nobody lie between the heads.
      starts.push_back(static_cast<std::int32_t>(rows) + 3);
      rows += static_cast<std::size_t>(layout == Layout::dense ? most : lengths[head]) + static_cast<std::size_t>(room) + 3;
    }
    if (layout == Layout::paged) {
      rows = heads_ * static_cast<std::size_t>(blocks) * block;
      for (std::size_t i = 0; i < heads_ * static_cast<std::size_t>(blocks); i++) table.push_back(static_cast<std::int32_t>(i));
      std::shuffle(table.begin(), table.end(), std::mt19937(7));
    }
    rows_ = rows;
    std::vector<float> keys(rows * head_dim, NAN);
    std::vector<float> values(rows * head_dim, NAN);
    std::vector<std::int32_t> positions(rows, -1);
    entries.keys.resize(heads_);
    entries.values.resize(heads_);
    entries.positions.resize(heads_);
    for (std::size_t head = 0; head < heads_; head++) {
      const auto count = static_cast<std::size_t>(lengths[head]) * head_dim;
      entries.keys[head] = stored(type, numbers.normal(count));
      entries.values[head] = stored(type, numbers.normal(count));
      for (int slot = 0; slot < lengths[head]; slot++) {
        const std::size_t row = layout == Layout::paged
                                    ? static_cast<std::size_t>(table[head * static_cast<std::size_t>(blocks) + static_cast<std::size_t>(slot / block)]) * block + static_cast<std::size_t>(slot % block)
                                    : static_cast<std::size_t>(starts[head] + slot);
        std::copy_n(&entries.keys[head][static_cast<std::size_t>(slot) * head_dim], head_dim, &keys[row * head_dim]);
        std::copy_n(&entries.values[head][static_cast<std::size_t>(slot) * head_dim], head_dim, &values[row * head_dim]);
        positions[row] = slot * gap + static_cast<int>(head) % 2;
        entries.positions[head].push_back(positions[row]);
      }
    }
    keys_ = std::make_unique<Buffer<unsigned char>>(encode(type, keys));
    values_ = std::make_unique<Buffer<unsigned char>>(encode(type, values));
    positions_ = std::make_unique<Buffer<std::int32_t>>(positions);
    lengths_ = std::make_unique<Buffer<std::int32_t>>(std::vector<std::int32_t>(lengths.begin(), lengths.end()));
    starts_ = std::make_unique<Buffer<std::int32_t>>(starts);
    table_ = std::make_unique<Buffer<std::int32_t>>(table);
    view.type = type;
    view.kv_heads = heads_;
    view.head_dim = head_dim;
    view.keys = keys_->get();
    view.values = values_->get();
    view.lengths = lengths_->get();
    view.starts = starts_->get();
    view.positions = positions_->get();
    if (layout == Layout::paged) {
      view.starts = nullptr;
      view.table = table_->get();
      view.block_size = block;
      view.blocks_per_head = static_cast<std::size_t>(blocks);
    }
    view.max_length = static_cast<std::size_t>(most);
    view.rows = rows;
    table_host_ = table;
    starts_host_ = starts;
  }

  /** What the device holds now, after a look at the guards. */
  Entries read() {
    Entries out;
    const auto lengths = lengths_->read();
    const auto keys = keys_->read();
    const auto values = values_->read();
    const auto positions = positions_->read();
    for (std::size_t head = 0; head < heads_; head++) {
      out.keys.emplace_back();
      out.values.emplace_back();
      out.positions.emplace_back();
      for (int slot = 0; slot < lengths[head]; slot++) {
        const std::size_t row = row_of(head, slot);
        for (std::size_t c = 0; c < head_dim_; c++) {
          out.keys[head].push_back(decode(keys, row * head_dim_ + c));
          out.values[head].push_back(decode(values, row * head_dim_ + c));
        }
        out.positions[head].push_back(positions[row]);
      }
    }
    return out;
  }

  Entries entries;
  kvsift_cuda_kv_view view{};

 private:
  std::size_t row_of(std::size_t head, int slot) const {
    if (view.table == nullptr) return static_cast<std::size_t>(starts_host_[head] + slot);
    const int size = static_cast<int>(view.block_size);
    return static_cast<std::size_t>(table_host_[head * view.blocks_per_head + static_cast<std::size_t>(slot / size)]) * view.block_size + static_cast<std::size_t>(slot % size);
  }
  float decode(const std::vector<unsigned char>& bytes, std::size_t at) const {
    if (type_ == KVSIFT_CUDA_F32) {
      float value;
      std::memcpy(&value, &bytes[4 * at], 4);
      return value;
    }
    if (type_ == KVSIFT_CUDA_Q8_0) {
      float block[32];
      decode_block(&bytes[at / 32 * 34], block);
      return block[at % 32];
    }
    std::uint16_t bits;
    std::memcpy(&bits, &bytes[2 * at], 2);
    return widen_from(type_, bits);
  }

  kvsift_cuda_dtype type_;
  std::size_t head_dim_;
  std::size_t heads_;
  std::size_t rows_ = 0;
  std::vector<std::int32_t> table_host_, starts_host_;
  std::unique_ptr<Buffer<unsigned char>> keys_, values_;
  std::unique_ptr<Buffer<std::int32_t>> positions_, lengths_, starts_, table_;
};

inline void expect_entries(const Entries& got, const Entries& want, const std::string& what) {
  expect_same(got.keys.size() == want.keys.size() ? std::vector<int>{1} : std::vector<int>{0}, {1}, what + " heads");
  for (std::size_t head = 0; head < want.keys.size(); head++) {
    const std::string label = what + ", head " + std::to_string(head);
    expect_same(got.keys[head], want.keys[head], label + " keys");
    expect_same(got.values[head], want.values[head], label + " values");
    expect_same(got.positions[head], want.positions[head], label + " positions");
  }
}

}  // namespace KVSIFT_TEST_SPACE

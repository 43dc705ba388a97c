#include "cache.h"

namespace KVSIFT_TEST_SPACE {

namespace {

constexpr Layout layouts[] = {Layout::dense, Layout::flattened, Layout::paged};
constexpr kvsift_cuda_dtype types[] = {KVSIFT_CUDA_F32, KVSIFT_CUDA_F16, KVSIFT_CUDA_BF16};

struct Kept {
  std::vector<std::int32_t> indices, offsets{0};
  std::size_t most = 0;
};

/** Random survivors; some heads lose all, some nothing. */
Kept survivors(const std::vector<int>& lengths, unsigned seed) {
  Numbers numbers(seed);
  Kept out;
  for (std::size_t head = 0; head < lengths.size(); head++) {
    const int share = head == 1 ? 0 : head == 2 ? 100 : numbers.integer(10, 70);
    const std::size_t before = out.indices.size();
    for (int slot = 0; slot < lengths[head]; slot++) {
      if (numbers.integer(0, 99) < share) out.indices.push_back(slot);
    }
    out.offsets.push_back(static_cast<std::int32_t>(out.indices.size()));
    out.most = std::max(out.most, out.indices.size() - before);
  }
  return out;
}

Entries select(const Entries& all, const Kept& kept, std::size_t head_dim) {
  Entries out;
  for (std::size_t head = 0; head < all.keys.size(); head++) {
    out.keys.emplace_back();
    out.values.emplace_back();
    out.positions.emplace_back();
    for (auto i = kept.offsets[head]; i < kept.offsets[head + 1]; i++) {
      const auto slot = static_cast<std::size_t>(kept.indices[static_cast<std::size_t>(i)]);
      for (std::size_t c = 0; c < head_dim; c++) {
        out.keys[head].push_back(all.keys[head][slot * head_dim + c]);
        out.values[head].push_back(all.values[head][slot * head_dim + c]);
      }
      out.positions[head].push_back(all.positions[head][slot]);
    }
  }
  return out;
}

}  // namespace

KVSIFT_TEST(compact_in_place, "kv_compact: every layout and type, runs longer than a block moves at once") {
  const std::vector<int> lengths{701, 13, 40, 350};
  for (const Layout layout : layouts) {
    for (const auto type : types) {
      const std::size_t head_dim = type == KVSIFT_CUDA_F32 ? 24 : 40;
      Cache cache(layout, type, head_dim, lengths, 31);
      const Kept kept = survivors(lengths, 4);
      Buffer<std::int32_t> indices(kept.indices);
      Buffer<std::int32_t> offsets(kept.offsets);
      const kvsift_cuda_slot_selection selection{indices.get(), offsets.get(), kept.most};
      good(kvsift_cuda_kv_compact(context(), nullptr, &cache.view, &selection));
      expect_entries(cache.read(), select(cache.entries, kept, head_dim), name_of(layout));
    }
  }
}

KVSIFT_TEST(gather_between, "kv_gather: from each layout to each other, selected and all") {
  const std::vector<int> lengths{61, 9, 33};
  for (const Layout from : layouts) {
    for (const Layout to : layouts) {
      const Cache source(from, KVSIFT_CUDA_BF16, 32, lengths, 8);
      const Kept kept = survivors(lengths, 2);
      Cache target(to, KVSIFT_CUDA_BF16, 32, lengths, 9);
      Buffer<std::int32_t> indices(kept.indices);
      Buffer<std::int32_t> offsets(kept.offsets);
      const kvsift_cuda_slot_selection selection{indices.get(), offsets.get(), kept.most};
      good(kvsift_cuda_kv_gather(context(), nullptr, &source.view, &selection, &target.view));
      expect_entries(target.read(), select(source.entries, kept, 32), "selected");
      good(kvsift_cuda_kv_gather(context(), nullptr, &source.view, nullptr, &target.view));
      expect_entries(target.read(), source.entries, "all");
    }
  }
}

KVSIFT_TEST(append_rows, "kv_append: batches of several sequences, some without rows") {
  for (const Layout layout : layouts) {
    for (const auto type : types) {
      std::vector<std::unique_ptr<Cache>> caches;
      std::vector<kvsift_cuda_kv_segment> segments;
      std::vector<std::size_t> rows;
      std::size_t total = 0;
      for (std::size_t i = 0; i < 18; i++) {
        caches.push_back(std::make_unique<Cache>(layout, type, 16, std::vector<int>{5, 1}, static_cast<unsigned>(i), 4));
        rows.push_back(i % 4);
        segments.push_back({caches.back()->view, rows.back()});
        total += rows.back();
      }
      Numbers numbers(77);
      const auto k = numbers.normal(total * 2 * 16);
      const auto v = numbers.normal(total * 2 * 16);
      std::vector<std::int32_t> positions;
      for (std::size_t i = 0; i < total; i++) positions.push_back(static_cast<std::int32_t>(100 + i));
      Buffer<float> device_k(k);
      Buffer<float> device_v(v);
      Buffer<std::int32_t> device_positions(positions);
      good(kvsift_cuda_kv_append(context(), nullptr, segments.data(), segments.size(), device_k.get(), device_v.get(), device_positions.get()));
      std::size_t packed = 0;
      for (std::size_t i = 0; i < caches.size(); i++) {
        Entries want = caches[i]->entries;
        for (std::size_t row = packed; row < packed + rows[i]; row++) {
          for (std::size_t head = 0; head < 2; head++) {
            for (std::size_t c = 0; c < 16; c++) {
              want.keys[head].push_back(stored(type, k[(row * 2 + head) * 16 + c]));
              want.values[head].push_back(stored(type, v[(row * 2 + head) * 16 + c]));
            }
            want.positions[head].push_back(positions[row]);
          }
        }
        expect_entries(caches[i]->read(), want, name_of(layout));
        packed += rows[i];
      }
    }
  }
}

KVSIFT_TEST(read_and_replace, "kv_read and kv_replace: there and back") {
  for (const Layout layout : layouts) {
    for (const auto type : types) {
      Cache cache(layout, type, 8, {17, 17, 17}, 12);
      Buffer<float> out(3 * 17 * 8);
      good(kvsift_cuda_kv_read(context(), nullptr, &cache.view, KVSIFT_CUDA_VALUES, 17, out.get()));
      std::vector<float> want;
      for (const auto& head : cache.entries.values) want.insert(want.end(), head.begin(), head.end());
      expect_same(out.read(), want, "values");
      const auto x = Numbers(3).normal(want.size());
      Buffer<float> device(x);
      good(kvsift_cuda_kv_replace(context(), nullptr, &cache.view, KVSIFT_CUDA_KEYS, 17, device.get()));
      const Entries got = cache.read();
      std::vector<float> keys;
      for (const auto& head : got.keys) keys.insert(keys.end(), head.begin(), head.end());
      expect_same(keys, stored(type, x), "keys");
      expect_same(got.values[1], cache.entries.values[1], "values are untouched");
    }
  }
}

}  // namespace KVSIFT_TEST_SPACE

#include "cache.h"

namespace KVSIFT_TEST_SPACE {

namespace {

constexpr Layout layouts[] = {Layout::dense, Layout::flattened, Layout::paged};
constexpr kvsift_cuda_dtype types[] = {KVSIFT_CUDA_F32, KVSIFT_CUDA_F16, KVSIFT_CUDA_BF16, KVSIFT_CUDA_Q8_0};

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

/** A head dim whose rows are whole pieces of so many bytes and of no more; blocks of 34 bytes are of 2, of 4 in pairs, and of 16 in eights. */
std::size_t dim_of(kvsift_cuda_dtype type, std::size_t piece) {
  if (type == KVSIFT_CUDA_Q8_0) return piece == 16 ? 256 : piece == 4 ? 64 : 32;
  if (type == KVSIFT_CUDA_F32) return piece == 16 ? 24 : 21;
  return piece == 16 ? 40 : piece == 4 ? 38 : 37;
}

KVSIFT_TEST(compact_in_place, "kv_compact: every layout, type and size of rows, runs longer than a block moves at once") {
  const std::vector<int> lengths{701, 13, 40, 350};
  for (const Layout layout : layouts) {
    for (const auto type : types) {
      for (const std::size_t piece : {16, 4, 2}) {
        const std::size_t head_dim = dim_of(type, piece);
        Cache cache(layout, type, head_dim, lengths, 31);
        const Kept kept = survivors(lengths, 4);
        Buffer<std::int32_t> indices(kept.indices);
        Buffer<std::int32_t> offsets(kept.offsets);
        const kvsift_cuda_slot_selection selection{indices.get(), offsets.get(), kept.most, indices.size()};
        good(kvsift_cuda_kv_compact(context(), nullptr, &cache.view, &selection));
        expect_entries(cache.read(), select(cache.entries, kept, head_dim), name_of(layout));
      }
    }
  }
}

KVSIFT_TEST(gather_between, "kv_gather: from each layout to each other, selected and all") {
  const std::vector<int> lengths{61, 9, 33};
  for (const Layout from : layouts) {
    for (const Layout to : layouts) {
      const auto type = from == to ? KVSIFT_CUDA_Q8_0 : KVSIFT_CUDA_BF16;
      const Cache source(from, type, 32, lengths, 8);
      const Kept kept = survivors(lengths, 2);
      Cache target(to, type, 32, lengths, 9);
      Buffer<std::int32_t> indices(kept.indices);
      Buffer<std::int32_t> offsets(kept.offsets);
      const kvsift_cuda_slot_selection selection{indices.get(), offsets.get(), kept.most, indices.size()};
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
      const std::size_t dim = type == KVSIFT_CUDA_Q8_0 ? 64 : 16;
      std::vector<std::unique_ptr<Cache>> caches;
      std::vector<kvsift_cuda_kv_segment> segments;
      std::vector<std::size_t> rows;
      std::size_t total = 0;
      for (std::size_t i = 0; i < 18; i++) {
        caches.push_back(std::make_unique<Cache>(layout, type, dim, std::vector<int>{5, 1}, static_cast<unsigned>(i), 4));
        rows.push_back(i % 4);
        segments.push_back({caches.back()->view, rows.back()});
        total += rows.back();
      }
      Numbers numbers(77);
      const auto k = numbers.normal(total * 2 * dim);
      const auto v = numbers.normal(total * 2 * dim);
      const auto stored_k = stored(type, k);
      const auto stored_v = stored(type, v);
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
            for (std::size_t c = 0; c < dim; c++) {
              want.keys[head].push_back(stored_k[(row * 2 + head) * dim + c]);
              want.values[head].push_back(stored_v[(row * 2 + head) * dim + c]);
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
      const std::size_t dim = type == KVSIFT_CUDA_Q8_0 ? 96 : 8;
      Cache cache(layout, type, dim, {17, 17, 17}, 12);
      Buffer<float> out(3 * 17 * dim);
      good(kvsift_cuda_kv_read(context(), nullptr, &cache.view, KVSIFT_CUDA_VALUES, 0, 17, out.get()));
      std::vector<float> want;
      for (const auto& head : cache.entries.values) want.insert(want.end(), head.begin(), head.end());
      expect_same(out.read(), want, "values");
      Buffer<float> part(3 * 4 * dim);
      good(kvsift_cuda_kv_read(context(), nullptr, &cache.view, KVSIFT_CUDA_VALUES, 9, 4, part.get()));
      std::vector<float> some;
      for (const auto& head : cache.entries.values) some.insert(some.end(), head.begin() + static_cast<std::ptrdiff_t>(9 * dim), head.begin() + static_cast<std::ptrdiff_t>(13 * dim));
      expect_same(part.read(), some, "some values");
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

/** Runs every op that reads or writes a view; each must set one of these faults. */
static void expect_faults(Cache& cache, std::int32_t expected, const std::string& what) {
  const std::size_t heads = cache.view.kv_heads;
  const std::size_t head_dim = cache.view.head_dim;
  const std::size_t n = cache.view.max_length;
  Buffer<float> x(std::vector<float>(heads * n * head_dim, 1.0F));
  Buffer<float> out(heads * n * head_dim);
  Buffer<std::int32_t> positions(std::vector<std::int32_t>(n, 5));
  Cache target(Layout::flattened, cache.view.type, head_dim, std::vector<int>(heads, static_cast<int>(n)), 3);
  const kvsift_cuda_attention_shape shape{heads, 0.3F, 0, 0};
  const kvsift_cuda_kv_segment few{cache.view, 1};
  const kvsift_cuda_kv_segment many{cache.view, n};
  kvsift_cuda_column_arguments arguments{};
  arguments.shape = shape;
  arguments.mask = KVSIFT_CUDA_MASK_NONE;
  const auto check = [&](kvsift_cuda_status status, const char* op) {
    good(status);
    expect((faults() & expected) != 0, what + ": " + op + " set no fault");
  };
  check(kvsift_cuda_attention(context(), nullptr, &few, 1, x.get(), &shape, nullptr, out.get(), nullptr), "attention of a row");
  check(kvsift_cuda_attention(context(), nullptr, &many, 1, x.get(), &shape, nullptr, out.get(), nullptr), "attention of many rows");
  check(kvsift_cuda_attention_columns(context(), nullptr, x.get(), n, &cache.view, n, KVSIFT_CUDA_COLUMN_SUM, &arguments, out.get()), "columns");
  check(kvsift_cuda_attention_rows(context(), nullptr, x.get(), 1, &cache.view, n, &arguments, out.get()), "rows");
  check(kvsift_cuda_kv_read(context(), nullptr, &cache.view, KVSIFT_CUDA_KEYS, 0, n, out.get()), "read");
  check(kvsift_cuda_kv_replace(context(), nullptr, &cache.view, KVSIFT_CUDA_KEYS, n, x.get()), "replace");
  check(kvsift_cuda_kv_gather(context(), nullptr, &cache.view, nullptr, &target.view), "gather");
  if (expected == KVSIFT_CUDA_FAULT_KV_RANGE) check(kvsift_cuda_kv_append(context(), nullptr, &few, 1, x.get(), x.get(), positions.get()), "append");
}

KVSIFT_TEST(lying_numbers, "numbers of a cache that point outside its memory set a fault, and nothing is touched") {
  for (const auto type : {KVSIFT_CUDA_F32, KVSIFT_CUDA_BF16, KVSIFT_CUDA_Q8_0}) {
    for (const Layout layout : layouts) {
      Cache cache(layout, type, 64, {40, 40}, 5);
      Buffer<std::int32_t> lengths(std::vector<std::int32_t>{40, 1 << 20});
      cache.view.lengths = lengths.get();
      expect_faults(cache, KVSIFT_CUDA_FAULT_KV_RANGE, std::string(name_of(layout)) + ", a length");
      Buffer<std::int32_t> negative(std::vector<std::int32_t>{40, -3});
      cache.view.lengths = negative.get();
      expect_faults(cache, KVSIFT_CUDA_FAULT_KV_RANGE, std::string(name_of(layout)) + ", a negative length");
      Buffer<std::int32_t> shorter(std::vector<std::int32_t>{40, 12});
      cache.view.lengths = shorter.get();
      Buffer<float> out(2 * 40 * 64);
      good(kvsift_cuda_kv_read(context(), nullptr, &cache.view, KVSIFT_CUDA_KEYS, 0, 40, out.get()));
      expect(faults() == KVSIFT_CUDA_FAULT_KV_LENGTH, "a head that is too short set no fault");
      Buffer<std::int32_t> right(std::vector<std::int32_t>{40, 40});
      cache.view.lengths = right.get();
      if (layout == Layout::paged) {
        Buffer<std::int32_t> table(std::vector<std::int32_t>(2 * cache.view.blocks_per_head, 1 << 28));
        cache.view.table = table.get();
        expect_faults(cache, KVSIFT_CUDA_FAULT_KV_RANGE, "a block number");
      } else {
        Buffer<std::int32_t> starts(std::vector<std::int32_t>{-1, 1 << 30});
        cache.view.starts = starts.get();
        expect_faults(cache, KVSIFT_CUDA_FAULT_KV_RANGE, "a start");
      }
    }
  }
}

KVSIFT_TEST(lying_selection, "a selection that does not fit sets a fault, and nothing outside is touched") {
  for (const auto& [indices, offsets] : std::vector<std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>>>{
           {{0, 9, 1}, {0, 2, 3}}, {{0, -1, 1}, {0, 2, 3}}, {{0, 1, 1}, {0, 4, 3}}, {{0, 1, 1}, {1, 2, 3}}, {{0, 1, 1}, {0, 2, 1 << 30}}}) {
    Cache from(Layout::flattened, KVSIFT_CUDA_F16, 16, {9, 9}, 5);
    Cache to(Layout::paged, KVSIFT_CUDA_F16, 16, {9, 9}, 6);
    Buffer<std::int32_t> device_indices(indices);
    Buffer<std::int32_t> device_offsets(offsets);
    const kvsift_cuda_slot_selection selection{device_indices.get(), device_offsets.get(), 9, 3};
    good(kvsift_cuda_kv_gather(context(), nullptr, &from.view, &selection, &to.view));
    expect((faults() & KVSIFT_CUDA_FAULT_KV_SELECTION) != 0, "gather set no fault");
    good(kvsift_cuda_kv_compact(context(), nullptr, &from.view, &selection));
    expect((faults() & KVSIFT_CUDA_FAULT_KV_SELECTION) != 0, "compact set no fault");
  }
}

KVSIFT_TEST(own_fault_word, "faults go where the caller wants them") {
  Buffer<std::int32_t> word(std::vector<std::int32_t>{0});
  Buffer<std::int32_t> ids(std::vector<std::int32_t>{7});
  Buffer<float> table(std::vector<float>{1, 2});
  Buffer<float> out(1);
  const kvsift_cuda_weight weight{KVSIFT_CUDA_F32, table.get(), 2, 1, 0};
  good(kvsift_cuda_faults_at(context(), word.get()));
  good(kvsift_cuda_embedding(context(), nullptr, &weight, ids.get(), 1, 1, out.get()));
  good(kvsift_cuda_faults_at(context(), nullptr));
  expect_same(word.read(), {KVSIFT_CUDA_FAULT_EMBEDDING_ID}, "the caller's word");
  expect(faults() == 0, "the context's own word was set too");
}

}  // namespace KVSIFT_TEST_SPACE

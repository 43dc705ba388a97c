#include "kvsift/kv.h"

#include "attention_cases.h"
#include "kv_rows.h"

namespace kvsift::tests {

namespace {

void gather_and_read(Context& context, DType from_type, DType to_type, std::size_t dim, const std::string& what) {
  Cache from(context, from_type, dim, {40, 31}, Layout::paged, 1);
  Cache to(context, to_type, dim, {300, 300}, Layout::dense, 2);
  const std::vector<std::int32_t> indices = {0, 3, 17, 39, 5, 30};
  const std::vector<std::int32_t> offsets = {0, 4, 6};
  const SlotSelection selection{indices.data(), offsets.data()};
  kv_gather(context, from.view, &selection, to.view);
  check(to.lengths == std::vector<std::int32_t>({4, 2}), what + " lengths");
  std::vector<std::vector<float>> expected;
  // Entries of the same type are copied as they are.
  for (const auto& values : from.key_values) expected.push_back(from_type == to_type ? values : Cache::stored(to_type, values));
  std::vector<float> out(2 * 2 * dim);
  kv_read(context, to.view, KvPart::keys, 0, 2, out.data());
  bool right = true;
  for (std::size_t g = 0; g < 2; g++) {
    for (std::size_t slot = 0; slot < 2; slot++) {
      const auto source = static_cast<std::size_t>(indices[static_cast<std::size_t>(offsets[g]) + slot]);
      for (std::size_t c = 0; c < dim; c++) right = right && out[(g * 2 + slot) * dim + c] == expected[g][source * dim + c];
      right = right && to.positions[static_cast<std::size_t>(to.starts[g]) + slot] == from.slot_positions[g][source];
    }
  }
  check(right, what + " entries and positions");

  const std::vector<float> fresh = random_values(out.size(), 9);
  kv_replace(context, to.view, KvPart::values, 2, fresh.data());
  kv_read(context, to.view, KvPart::values, 0, 2, out.data());
  check(out == Cache::stored(to_type, fresh), what + " replaced values");

  kv_gather(context, from.view, nullptr, to.view);
  check(to.lengths == std::vector<std::int32_t>({40, 31}), what + " of all");
}

/** Entries that move within their memory are those that a copy would hold; rows behind them stay. */
void compact(Context& context, DType type, std::size_t dim, Layout layout, const std::string& what) {
  Cache cache(context, type, dim, {40, 31, 3}, layout, 1);
  Cache copy(context, type, dim, {300, 300, 300}, Layout::dense, 2);
  std::vector<std::int32_t> indices = {0, 1, 3};
  for (std::int32_t slot = 5; slot < 40; slot++) indices.push_back(slot);
  const auto first = static_cast<std::int32_t>(indices.size());
  indices.insert(indices.end(), {30, 2});
  const std::vector<std::int32_t> offsets = {0, first, first + 1, first + 2};
  const SlotSelection selection{indices.data(), offsets.data()};
  kv_gather(context, cache.view, &selection, copy.view);
  const std::byte last = cache.keys.back();
  kv_compact(context, cache.view, selection);
  check(cache.lengths == copy.lengths && cache.keys.back() == last, what + " lengths");
  bool right = true;
  for (const KvPart part : {KvPart::keys, KvPart::values}) {
    for (std::size_t g = 0; g < 3; g++) {
      const auto one = [g](const Cache& from) {
        KvView view = from.view;
        view.kv_heads = 1;
        view.lengths += g;
        view.starts += g;
        if (view.table != nullptr) view.table += g * view.blocks_per_head;
        return view;
      };
      const auto count = static_cast<std::size_t>(copy.lengths[g]);
      std::vector<float> got(count * dim);
      std::vector<float> want(got.size());
      kv_read(context, one(cache), part, 0, count, got.data());
      kv_read(context, one(copy), part, 0, count, want.data());
      right = right && got == want;
      const HeadRows rows(one(cache), 0);
      for (std::size_t slot = 0; slot < count; slot++) {
        right = right && cache.positions[rows.row(slot)] == copy.positions[static_cast<std::size_t>(copy.starts[g]) + slot];
      }
    }
  }
  check(right, what + " entries and positions");
}

/** Appending stays inside the rows it owns. */
void append(Context& context, const std::string& what) {
  Cache cache(context, DType::bf16, 16, {10, 4}, Layout::dense, 3);
  const std::vector<std::byte> before = cache.keys;
  const std::vector<float> k = random_values(3 * 2 * 16, 4);
  const std::int32_t positions[] = {90, 91, 95};
  const KvSegment segment{cache.view, 3};
  kv_append(context, std::span(&segment, 1), k.data(), k.data(), positions);
  check(cache.lengths == std::vector<std::int32_t>({13, 7}), what + " lengths");
  std::size_t changed = 0;
  for (std::size_t i = 0; i < before.size(); i++) {
    const std::size_t row = i / 32;
    const bool own = (row >= 13 && row < 16) || (row >= static_cast<std::size_t>(cache.starts[1]) + 4 && row < static_cast<std::size_t>(cache.starts[1]) + 7);
    if (!own && before[i] != cache.keys[i]) changed++;
  }
  check(changed == 0, what + " writes outside");
  check(cache.positions[13] == 90 && cache.positions[15] == 95, what + " positions");
}

}  // namespace

void test_kv() {
  Context context(2);
  for (const Isa isa : supported_sets()) {
    set_isa(context, isa);
    for (const DType from : {DType::f32, DType::f16, DType::bf16, DType::q8_0}) {
      for (const DType to : {DType::f32, DType::f16, DType::bf16, DType::q8_0}) {
        const bool blocks = from == DType::q8_0 || to == DType::q8_0;
        gather_and_read(context, from, to, blocks ? 64 : 24, std::string("kv_gather ") + dtype_name(from) + " to " + dtype_name(to) + " " + isa_name(isa));
      }
    }
    for (const Layout layout : {Layout::dense, Layout::paged}) {
      compact(context, DType::f16, 64, layout, std::string("kv_compact f16 ") + isa_name(isa));
      compact(context, DType::q8_0, 256, layout, std::string("kv_compact q8_0 ") + isa_name(isa));
    }
    append(context, std::string("kv_append ") + isa_name(isa));
  }
}

}  // namespace kvsift::tests

#include "kvsift/kv.h"

#include "attention_cases.h"

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
    append(context, std::string("kv_append ") + isa_name(isa));
  }
}

}  // namespace kvsift::tests

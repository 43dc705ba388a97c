#include <algorithm>
#include <cctype>
#include <cstring>
#include <fstream>
#include <iterator>

#include "check.h"
#include "kvsift/dtype.h"
#include "kvsift/weights.h"

namespace kvsift::tests {

namespace {

/** Just enough of safetensors: where a named tensor lies. */
struct Stored {
  std::string bytes;
  std::size_t data = 0;

  bool find(const std::string& name, std::size_t& begin, std::size_t& end) const {
    const std::size_t at = bytes.find('"' + name + '"', 8);
    if (at == std::string::npos || at > data) return false;
    const std::size_t offsets = bytes.find("data_offsets", at);
    const std::size_t open = bytes.find('[', offsets);
    const std::size_t comma = bytes.find(',', open);
    begin = data + std::stoul(bytes.substr(open + 1));
    end = data + std::stoul(bytes.substr(comma + 1));
    return true;
  }
};

void goldens(const std::string& folder) {
  std::ifstream file(folder + "/golden/forward/quants/quants.safetensors", std::ios::binary);
  Stored stored;
  stored.bytes.assign(std::istreambuf_iterator<char>(file), {});
  check(stored.bytes.size() > 8, "quants.safetensors can be read");
  if (stored.bytes.size() <= 8) return;
  std::uint64_t header = 0;
  std::memcpy(&header, stored.bytes.data(), 8);
  stored.data = 8 + header;
  Context context(2);
  for (int index = 0; index < dtype_count; index++) {
    const auto type = static_cast<DType>(index);
    std::string name = dtype_name(type);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    std::size_t begin = 0;
    std::size_t end = 0;
    if (type == DType::f32 || type == DType::i32 || type == DType::u8) continue;
    check(stored.find(name + ".bytes", begin, end), "golden of " + name);
    std::size_t from = 0;
    std::size_t to = 0;
    if (!stored.find(name + ".values", from, to)) continue;
    std::vector<float> want((to - from) / 4);
    std::memcpy(want.data(), stored.bytes.data() + from, to - from);
    const BlockLayout layout = block_layout(type);
    const std::size_t rows = layout.values == 32 ? 32 : 40;
    const WeightSource source{type, stored.bytes.data() + begin, rows, want.size() / rows, nullptr};
    std::vector<float> got(want.size());
    dequantize(context, std::span(&source, 1), got.data());
    double worst = 0;
    for (std::size_t at = 0; at < want.size(); at += layout.values) {
      double largest = 0;
      double difference = 0;
      for (std::size_t i = at; i < at + layout.values; i++) {
        largest = std::max(largest, std::abs(static_cast<double>(want[i])));
        difference = std::max(difference, std::abs(static_cast<double>(want[i]) - got[i]));
      }
      if (difference > 0) worst = std::max(worst, difference / largest);
    }
    const bool exact = layout.values == 1 || type == DType::q4_0 || type == DType::q5_0 || type == DType::q8_0 || type == DType::iq4_nl;
    check(exact ? worst == 0 : worst <= 2e-6, name + " values: relative to the block off by " + std::to_string(worst));
  }
}

}  // namespace

void test_formats() {
  for (std::uint32_t bits = 0; bits < 65536; bits++) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = f16_to_f32(half);
    if (std::isnan(wide)) continue;
    if (f32_to_f16(wide) != half) check(false, "f16 " + std::to_string(bits) + " comes back");
    const float brain = bf16_to_f32(half);
    if (!std::isnan(brain) && f32_to_bf16(brain) != half) check(false, "bf16 " + std::to_string(bits) + " comes back");
  }
  check(f32_to_f16(65519.9F) == 0x7bff && f32_to_f16(65520.0F) == 0x7c00, "f16 rounds to infinity where it should");
  check(f32_to_bf16(1.00390625F) == 0x3f80 && f32_to_bf16(1.01171875F) == 0x3f82, "bf16 rounds to even");
  const std::string folder = shared_folder();
  if (folder.empty()) std::printf("SKIPPED block format goldens: no shared folder beside the repository\n");
  else goldens(folder);

  Context context(2);
  const std::vector<float> table = {1, 2, 3, 4, 5, 6};
  const WeightSource source{DType::f32, table.data(), 3, 2, nullptr};
  std::vector<float> out(4);
  const std::int32_t ids[] = {2, 0};
  check(embedding(context, std::span(&source, 1), ids, 2, 2, out.data()) == -1 && out == std::vector<float>({10, 12, 2, 4}), "embedding looks rows up");
  const std::int32_t bad[] = {1, 3};
  check(embedding(context, std::span(&source, 1), bad, 2, 1, out.data()) == 1, "embedding names the id out of range");
}

}  // namespace kvsift::tests

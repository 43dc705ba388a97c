#include <cstring>
#include <filesystem>
#include <utility>

#include "check.h"

namespace kvsift::tests {

Tally& tally() {
  static Tally counts;
  return counts;
}

std::string shared_folder() {
  for (auto folder = std::filesystem::path(KVSIFT_SOURCE_DIR); folder.has_relative_path(); folder = folder.parent_path()) {
    if (std::filesystem::exists(folder / "shared" / "golden")) return (folder / "shared").string();
  }
  return {};
}

}  // namespace kvsift::tests

/** Runs all tests, or those whose names are given. */
int main(int count, char** names) {
  using namespace kvsift::tests;
  const std::pair<const char*, void (*)()> all[] = {
      {"pool", test_pool}, {"formats", test_formats},     {"linear", test_linear},   {"moments", test_moments}, {"projection", test_projection}, {"rows", test_rows},
      {"kv", test_kv},     {"attention", test_attention}, {"attention steps", test_attention_steps}, {"columns", test_columns}, {"sampling", test_sampling},
      {"elementwise", test_elementwise},
      {"reduce", test_reduce},
  };
  for (const auto& [name, run] : all) {
    bool wanted = count < 2;
    for (int i = 1; i < count; i++) wanted = wanted || std::strcmp(names[i], name) == 0;
    if (wanted) run();
  }
  std::printf("%d passed, %d failed\n", tally().passed, tally().failed);
  return tally().failed == 0 ? 0 : 1;
}

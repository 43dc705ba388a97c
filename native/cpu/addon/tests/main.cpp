#include "tests/test.h"

int main() {
  using namespace kvsift;
  tests::Report report;
  tests::test_memory(report);
  tests::test_stream(report);
  tests::test_cache(report);
  for (const std::size_t threads : {1, 3}) {
    Context context(threads, best_isa());
    tests::test_elementwise(report, context);
    tests::test_formula(report, context);
    tests::test_rows(report, context);
    tests::test_layout(report, context);
    tests::test_matmul(report, context);
    tests::test_select(report, context);
  }
  std::printf("%d passed, %d failed\n", report.passed, report.failed);
  return report.failed == 0 ? 0 : 1;
}

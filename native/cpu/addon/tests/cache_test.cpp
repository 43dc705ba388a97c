#include <future>

#include "launch/attention.h"
#include "launch/cache.h"
#include "launch/host.h"
#include "tests/test.h"

namespace kvsift::tests {

namespace {

Tensor upload(Backend& backend, const std::vector<float>& values, const Shape& shape) {
  return launch::upload(backend, values.data(), values.size() * sizeof(float), DType::f32, shape);
}

Tensor upload(Backend& backend, const std::vector<std::int32_t>& values, const Shape& shape) {
  return launch::upload(backend, values.data(), values.size() * sizeof(std::int32_t), DType::i32, shape);
}

FailurePointer finish(Backend& backend) {
  std::promise<FailurePointer> promise;
  backend.stream().finish([&](const FailurePointer& failure, const Mark&) { promise.set_value(failure); });
  return promise.get_future().get();
}

launch::View make_view(Backend& backend, std::size_t rows, std::int32_t capacity) {
  launch::View view;
  view.kv_heads = 2;
  view.head_dim = 4;
  view.keys = launch::empty(backend, DType::f32, {rows, 4});
  view.values = launch::empty(backend, DType::f32, {rows, 4});
  view.lengths = upload(backend, std::vector<std::int32_t>{0, 0}, {2});
  view.starts = upload(backend, std::vector<std::int32_t>{0, capacity}, {2});
  return view;
}

}  // namespace

void test_cache(Report& report) {
  Backend backend(BackendOptions{});
  launch::View view = make_view(backend, 10, 5);
  const Tensor rows = upload(backend, noise(5 * 8), {5, 8});
  const Tensor positions = upload(backend, std::vector<std::int32_t>{0, 1, 2, 3, 4}, {5});
  launch::kv_append(backend, {{view, 5}}, rows, rows, positions);
  view.max_length = 5;
  const Tensor q = upload(backend, noise(5 * 16), {5, 16});
  launch::AttentionOptions options;
  options.shape.query_heads = 4;
  const auto attended = launch::attention(backend, q, {{view, 5}}, options, true);
  report.check(finish(backend) == nullptr, "append and attend");
  report.check(std::isfinite(attended.output.floats()[0]), "attention gives numbers");
  const Tensor sums = upload(backend, std::vector<float>(4 * 6), {4, 6});
  launch::attention(backend, q, {{view, 5}}, options, false, sums);
  double total = 0;
  report.check(finish(backend) == nullptr, "attend and add up columns");
  for (std::size_t i = 0; i < 6; i++) total += sums.floats()[i];
  report.check(std::abs(total - 5) < 0.05 && sums.floats()[5] == 0, "each of five rows gives 1 in all");

  const launch::View kept = make_view(backend, 4, 2);
  const launch::SelectionTensors selection{upload(backend, std::vector<std::int32_t>{0, 3, 1, 4}, {4}), upload(backend, std::vector<std::int32_t>{0, 2, 4}, {3})};
  launch::kv_gather(backend, view, selection, kept);
  report.check(finish(backend) == nullptr && kept.lengths.integers()[1] == 2, "gather sets the lengths");
  report.check(kept.keys.floats()[4] == rows.floats()[3 * 8], "gather copies the chosen entry");

  const auto refuses = [&](const char* what, auto&& run) {
    run();
    const FailurePointer failure = finish(backend);
    report.check(failure && failure->code == Code::invalid_argument, what);
  };
  const launch::SelectionTensors wrong{upload(backend, std::vector<std::int32_t>{0, 5, 1, 4}, {4}), selection.offsets};
  refuses("gather refuses a slot that does not exist", [&] { launch::kv_gather(backend, view, wrong, make_view(backend, 4, 2)); });
  refuses("gather refuses a target without room", [&] { launch::kv_gather(backend, view, selection, make_view(backend, 3, 2)); });
  launch::View paged = view;
  paged.table = upload(backend, std::vector<std::int32_t>{0, 1, 2, 1000}, {2, 2});
  paged.block_size = 3;
  refuses("attention refuses a block outside the memory", [&] { launch::attention(backend, q, {{paged, 5}}, options, false); });
  refuses("append refuses rows without room", [&] { launch::kv_append(backend, {{view, 5}}, rows, rows, positions); });
  bool thrown = false;
  try {
    launch::kv_append(backend, {{view, 2}, {view, 3}}, rows, rows, positions);
  } catch (const Fault&) {
    thrown = true;
  }
  report.check(thrown, "append refuses one sequence twice");
}

}  // namespace kvsift::tests

#include "launch/scores.h"

#include "launch/check.h"
#include "ops/select.h"

namespace kvsift::launch {

namespace {

/** Entry numbers are 32 bits wide. */
void expect_countable(const char* op, const Tensor& x) { demand(x.count() < (std::size_t{1} << 31), op, "there are too many entries"); }

}  // namespace

Selected top(Backend& backend, const Tensor& scores, const TopOptions& options) {
  expect_matrix("top", "scores", scores);
  expect_countable("top", scores);
  const std::size_t heads = scores.shape[0];
  const std::size_t length = scores.shape[1];
  demand(options.protect_first <= length && options.protect_last <= length && options.max <= length, "top", "more entries than a head has");
  demand(options.total <= heads * length, "top", "more entries than all heads have");
  if (options.counts) expect("top", "counts", *options.counts, DType::i32, {heads});
  if (options.protect) expect("top", "protect", *options.protect, DType::f32, {heads, length});
  const Selected out{backend.make("top", DType::i32, {options.total}), backend.make("top", DType::i32, {heads + 1})};
  std::vector<Tensor> inputs{scores};
  if (options.counts) inputs.push_back(*options.counts);
  if (options.protect) inputs.push_back(*options.protect);
  const Tensor outputs[] = {out.indices, out.offsets};
  backend.submit("top", inputs, outputs, [=](Context& context) {
    ops::TopArguments arguments;
    arguments.scores = scores.floats();
    arguments.heads = heads;
    arguments.length = length;
    arguments.counts = options.counts ? options.counts->integers() : nullptr;
    arguments.keep = options.keep;
    arguments.total = options.total;
    arguments.max = options.max;
    arguments.protect_first = options.protect_first;
    arguments.protect_last = options.protect_last;
    arguments.protect = options.protect ? options.protect->floats() : nullptr;
    ops::top(context, arguments, out.indices.integers(), out.offsets.integers());
  });
  return out;
}

Tensor top_shares(Backend& backend, const Tensor& scores, std::size_t total) {
  expect_matrix("topShares", "scores", scores);
  expect_countable("topShares", scores);
  demand(total <= scores.count(), "topShares", "more entries than all heads have");
  const Tensor out = backend.make("topShares", DType::i32, {scores.shape[0]});
  backend.submit("topShares", {scores}, {out}, [=](Context& context) {
    ops::top_shares(context, scores.floats(), scores.shape[0], scores.shape[1], total, out.integers());
  });
  return out;
}

Tensor round_shares(Backend& backend, const Tensor& shares, std::size_t total, std::size_t cap) {
  expect_dtype("roundShares", "shares", shares, DType::f32);
  demand(shares.shape.rank() == 1, "roundShares", "shares must be a vector");
  const std::size_t largest = (std::size_t{1} << 31) - 1;
  demand(cap <= largest && total <= largest && total <= shares.count() * cap, "roundShares", "the shares cannot sum to the total");
  const Tensor out = backend.make("roundShares", DType::i32, shares.shape);
  backend.submit("roundShares", {shares}, {out},
                 [=](Context& context) { ops::round_shares(context, shares.floats(), shares.count(), total, cap, out.integers()); });
  return out;
}

Tensor uniform(Backend& backend, const ops::RandomKey& key, std::size_t rows, std::size_t columns) {
  const Tensor out = backend.make("uniform", DType::f32, {rows, columns});
  backend.submit("uniform", {}, {out}, [=](Context& context) { ops::uniform(context, key, rows, columns, out.out()); });
  return out;
}

}  // namespace kvsift::launch

#include "ops/select.h"

#include "kvsift/context.h"

namespace kvsift::ops {

void top(Context& context, const TopArguments& arguments, std::int32_t* indices, std::int32_t* offsets) {
  kvsift_cuda_top_arguments own{};
  own.scores = arguments.scores;
  own.heads = arguments.heads;
  own.length = arguments.length;
  own.counts = arguments.counts;
  own.keep = arguments.keep;
  own.total = arguments.total;
  own.max = arguments.max;
  own.protect_first = arguments.protect_first;
  own.protect_last = arguments.protect_last;
  own.protect = arguments.protect;
  context.watch();
  context.run(kvsift_cuda_top(context.kernels(), context.stream(), &own, indices, offsets));
}

void top_shares(Context& context, const float* scores, std::size_t heads, std::size_t length, std::size_t total, std::int32_t* out) {
  context.run(kvsift_cuda_top_shares(context.kernels(), context.stream(), scores, heads, length, total, out));
}

void round_shares(Context& context, const float* shares, std::size_t count, std::size_t total, std::size_t cap, std::int32_t* out) {
  context.run(kvsift_cuda_round_shares(context.kernels(), context.stream(), shares, count, total, cap, out));
}

}  // namespace kvsift::ops

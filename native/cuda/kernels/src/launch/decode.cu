#include <algorithm>
#include <vector>

#include "kernels/decode.cuh"
#include "launch/attention.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

/** Items of a launch: bounds its scratch memory. */
constexpr int most_items = 8192;

template <class Element, int lanes, int vectors>
void start_work(const Launch& launch, const DecodeArguments& a, unsigned work) {
  launch.check(start_kernel(decode_work<Element, lanes, vectors>, Grid{work, 1, 1}, decode_threads, decode_bytes<Element, vectors>, launch.stream, a));
}

template <class Element, int lanes>
void start_vectors(const Launch& launch, const DecodeArguments& a, unsigned work, int vectors) {
  if (vectors == 1) return start_work<Element, lanes, 1>(launch, a, work);
  if (vectors == 4) return start_work<Element, lanes, 4>(launch, a, work);
  start_work<Element, lanes, 8>(launch, a, work);
}

template <class Element>
void start_lanes(const Launch& launch, const DecodeArguments& a, unsigned work, int vectors) {
  if (a.head_dim <= 64) return start_vectors<Element, 8>(launch, a, work, vectors);
  if (a.head_dim <= 128) return start_vectors<Element, 16>(launch, a, work, vectors);
  start_vectors<Element, 32>(launch, a, work, vectors);
}

void start(const Launch& launch, DecodeArguments& a, int vectors) {
  const auto work = static_cast<unsigned>(a.target + a.items);
  const std::size_t cells = std::size_t{work} * vectors;
  const Scratch numbers(launch, (3 * std::size_t(a.items) + 2) * sizeof(std::int32_t));
  const Scratch partial(launch, cells * (a.head_dim + 2) * sizeof(float));
  a.first = numbers.as<std::int32_t>();
  a.ranges = a.first + a.items + 1;
  a.chunk = a.ranges + 2 * a.items;
  a.partial = partial.as<float>();
  a.state = a.partial + cells * a.head_dim;
  launch.check(start_kernel(decode_plan, Grid{1, 1, 1}, 256, 0, launch.stream, a, vectors));
  switch (a.pieces[0].view.type) {
    case KVSIFT_CUDA_F32: start_lanes<F32>(launch, a, work, vectors); break;
    case KVSIFT_CUDA_F16: start_lanes<F16>(launch, a, work, vectors); break;
    default: start_lanes<BF16>(launch, a, work, vectors); break;
  }
  if (a.out == nullptr && a.log_sum_exp == nullptr) return;
  launch.check(start_kernel(decode_join, Grid{static_cast<unsigned>(a.items), static_cast<unsigned>(vectors), 1}, join_threads, 0, launch.stream, a,
                            vectors));
}

}  // namespace

void run_decode(const Launch& launch, std::span<const SightedRows> parts, const AttentionShape& shape, const float* q, const AttentionOutputs& outputs) {
  if (parts.empty()) return;
  DecodeArguments a{};
  const KvView& view = parts.front().view;
  a.kv_heads = static_cast<int>(view.kv_heads);
  a.group = static_cast<int>(shape.query_heads / view.kv_heads);
  a.head_dim = static_cast<int>(view.head_dim);
  a.target = 4 * launch.context.multiprocessors;
  a.rule = logit_rule(shape.scale, shape.softcap);
  a.q = q;
  a.out = outputs.out;
  a.log_sum_exp = outputs.log_sum_exp;
  a.scores = outputs.scores;
  a.score_stride = outputs.score_stride;
  int most = 0;
  for (const SightedRows& part : parts) most = std::max(most, part.sight.rows * a.group);
  const int vectors = most == 1 ? 1 : most <= 4 ? 4 : 8;
  const auto flush = [&] {
    if (a.items > 0) start(launch, a, vectors);
    a.items = a.piece_count = 0;
  };
  for (const SightedRows& part : parts) {
    // As many rows at a time as leave the launch within its items.
    const int rows_at_once = std::max(1, most_items / a.kv_heads * vectors / a.group);
    for (int row = 0; row < part.sight.rows;) {
      const int rows = std::min(rows_at_once, part.sight.rows - row);
      const int items = a.kv_heads * static_cast<int>(ceil_div(static_cast<std::size_t>(rows) * a.group, vectors));
      if (a.piece_count == decode_pieces || (a.items > 0 && a.items + items > most_items)) flush();
      a.pieces[a.piece_count++] = {part.view, part.sight, row, rows, part.packed, a.items};
      a.items += items;
      row += rows;
    }
  }
  flush();
}

}  // namespace kvsift::KVSIFT_TARGET

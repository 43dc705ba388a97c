#include <algorithm>
#include <vector>

#include "kernels/decode_tiles.cuh"
#include "launch/attention.h"

namespace kvsift::KVSIFT_TARGET {

namespace {

/** Items of a launch: bounds its scratch memory. */
constexpr int most_items = 8192;

/** What run_decode found out about a launch. */
struct DecodeWay {
  int vectors;  // query vectors that share a load
  bool tiles;   // on tensor cores
};

/** Sets the target, takes the scratch memory that depends on it, and starts the three steps. */
template <class Kernel, class... More>
void start_steps(const Launch& launch, DecodeArguments& a, int vectors, Kernel kernel, std::size_t shared_bytes, const More&... more) {
  a.target = launch.context.multiprocessors * resident_blocks(kernel, decode_threads, shared_bytes);
  const auto work = static_cast<unsigned>(a.target + a.items);
  const std::size_t cells = std::size_t{work} * vectors;
  const Scratch numbers(launch, work * sizeof(DecodeTask) + (3 * std::size_t(a.items) + 1) * sizeof(std::int32_t));
  const Scratch partial(launch, cells * (a.head_dim + 2) * sizeof(float));
  a.tasks = numbers.as<DecodeTask>();
  a.first = reinterpret_cast<std::int32_t*>(a.tasks + work);
  a.ranges = a.first + a.items + 1;
  a.partial = partial.as<float>();
  a.state = a.partial + cells * a.head_dim;
  launch.start_early(decode_plan, Grid{1, 1, 1}, 256, 0, a, vectors);
  launch.start_early(kernel, Grid{work, 1, 1}, decode_threads, shared_bytes, a, more...);
  if (a.out == nullptr && a.log_sum_exp == nullptr) return;
  launch.start_early(decode_join, Grid{static_cast<unsigned>(a.items), static_cast<unsigned>(vectors), 1}, join_threads, 0, a, vectors);
}

template <class Element, int lanes>
void start_vectors(const Launch& launch, DecodeArguments& a, int vectors) {
  if (vectors == 1) return start_steps(launch, a, 1, decode_work<Element, lanes, 1>, decode_bytes<Element, 1>);
  if (vectors == 4) return start_steps(launch, a, 4, decode_work<Element, lanes, 4>, decode_bytes<Element, 4>);
  start_steps(launch, a, 8, decode_work<Element, lanes, 8>, decode_bytes<Element, 8>);
}

template <class Element>
void start_lanes(const Launch& launch, DecodeArguments& a, int vectors) {
  if (a.head_dim <= 64) return start_vectors<Element, 8>(launch, a, vectors);
  if (a.head_dim <= 128) return start_vectors<Element, 16>(launch, a, vectors);
  start_vectors<Element, 32>(launch, a, vectors);
}

template <class Element, int head_dim>
void start_columns(const Launch& launch, DecodeArguments& a, int vectors) {
  constexpr std::size_t bytes = decode_tiles_bytes(head_dim);
  if constexpr (head_dim <= 128) {
    if (vectors > 8) return start_steps(launch, a, vectors, decode_tiles<Element, head_dim, 2>, bytes, vectors);
  }
  start_steps(launch, a, vectors, decode_tiles<Element, head_dim, 1>, bytes, vectors);
}

template <class Element>
void start_tiles(const Launch& launch, DecodeArguments& a, int vectors) {
  switch (a.head_dim) {
    case 64: return start_columns<Element, 64>(launch, a, vectors);
    case 80: return start_columns<Element, 80>(launch, a, vectors);
    case 96: return start_columns<Element, 96>(launch, a, vectors);
    case 128: return start_columns<Element, 128>(launch, a, vectors);
    default: return start_columns<Element, 256>(launch, a, vectors);
  }
}

void start(const Launch& launch, DecodeArguments& a, const DecodeWay& way) {
  const kvsift_cuda_dtype type = a.pieces[0].view.type;
  if (way.tiles) return type == KVSIFT_CUDA_F16 ? start_tiles<F16>(launch, a, way.vectors) : start_tiles<BF16>(launch, a, way.vectors);
  switch (type) {
    case KVSIFT_CUDA_F32: return start_lanes<F32>(launch, a, way.vectors);
    case KVSIFT_CUDA_F16: return start_lanes<F16>(launch, a, way.vectors);
    case KVSIFT_CUDA_Q8_0: return start_lanes<Q8>(launch, a, way.vectors);
    default: return start_lanes<BF16>(launch, a, way.vectors);
  }
}

/** Tensor cores take a row that sees all of what it is given: where rows differ in that, a weight 0 would meet values that may be infinite. */
DecodeWay way_of(const Launch& launch, std::span<const SightedRows> parts, int group) {
  const bool single = std::ranges::all_of(parts, [](const SightedRows& part) { return part.sight.rows == 1; });
  const std::size_t beside = 2048;  // the kernel's static shared memory
  const KvView& view = parts.front().view;
  const std::size_t bytes = decode_tiles_bytes(static_cast<int>(view.head_dim));
  const int most_vectors = view.head_dim <= 128 ? 16 : 8;  // what the registers of a thread hold
  if (single && group <= most_vectors && tiles_fit(view) && bytes + beside <= launch.context.shared_bytes) return {group, true};
  int most = 0;
  for (const SightedRows& part : parts) most = std::max(most, part.sight.rows * group);
  return {most == 1 ? 1 : most <= 4 ? 4 : 8, false};
}

}  // namespace

void run_decode(const Launch& launch, std::span<const SightedRows> parts, const AttentionShape& shape, const float* q, const AttentionOutputs& outputs) {
  if (parts.empty()) return;
  DecodeArguments a{};
  const KvView& view = parts.front().view;
  a.kv_heads = static_cast<int>(view.kv_heads);
  a.group = static_cast<int>(shape.query_heads / view.kv_heads);
  a.head_dim = static_cast<int>(view.head_dim);
  a.rule = logit_rule(shape.scale, shape.softcap);
  a.q = q;
  a.out = outputs.out;
  a.log_sum_exp = outputs.log_sum_exp;
  a.scores = outputs.scores;
  a.score_stride = outputs.score_stride;
  const DecodeWay way = way_of(launch, parts, a.group);
  const int vectors = way.vectors;
  const auto flush = [&] {
    if (a.items > 0) start(launch, a, way);
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

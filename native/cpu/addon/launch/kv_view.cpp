#include "launch/kv_view.h"

#include "launch/check.h"

namespace kvsift::launch {

namespace {

[[noreturn]] void fail(const char* op, std::size_t head, const std::string& sentence) {
  throw Fault(Code::invalid_argument, op, std::string(op) + ": head " + std::to_string(head) + " of the cache " + sentence);
}

/** Entries [0, count) of a head in a paged view lie inside `rows`. */
void check_blocks(const char* op, const View& view, std::size_t head, std::size_t count, std::size_t rows) {
  const std::size_t width = view.table->shape[1];
  const std::int32_t* blocks = view.table->integers() + head * width;
  if (count > width * view.block_size) fail(op, head, "has no block for " + std::to_string(count) + " entries");
  for (std::size_t first = 0; first < count; first += view.block_size) {
    const std::int64_t block = blocks[first / view.block_size];
    const std::size_t used = std::min(view.block_size, count - first);
    if (block < 0 || static_cast<std::size_t>(block) * view.block_size + used > rows) fail(op, head, "names the block " + std::to_string(block) + ", which lies outside its memory");
  }
}

}  // namespace

void check_view(const char* op, const View& view) {
  demand(view.dtype == DType::f32 || view.dtype == DType::f16 || view.dtype == DType::bf16, op, "a cache holds f32, f16 or bf16");
  demand(view.kv_heads >= 1 && view.head_dim >= 1, op, "a cache has at least one head and one channel");
  expect_dtype(op, "keys", view.keys, view.dtype);
  demand(view.keys.shape.rank() == 2, op, "keys must be a matrix");
  const std::size_t rows = view.keys.shape[0];
  expect_shape(op, "keys", view.keys, {rows, view.head_dim});
  expect(op, "values", view.values, view.dtype, {rows, view.head_dim});
  expect(op, "lengths", view.lengths, DType::i32, {view.kv_heads});
  expect(op, "starts", view.starts, DType::i32, {view.kv_heads});
  if (view.positions) expect(op, "positions of the cache", *view.positions, DType::i32, {rows});
  if (!view.table) return;
  demand(view.block_size >= 1 && view.block_size < (std::size_t{1} << 31), op, "the block size must be positive");
  demand(view.table->shape.rank() == 2, op, "the block table must be a matrix");
  expect(op, "block table", *view.table, DType::i32, {view.kv_heads, view.table->shape[1]});
}

void add_inputs(const View& view, std::vector<Tensor>& inputs) {
  inputs.insert(inputs.end(), {view.keys, view.values, view.lengths, view.starts});
  if (view.positions) inputs.push_back(*view.positions);
  if (view.table) inputs.push_back(*view.table);
}

void expect_apart(const char* op, std::span<const Tensor> written, std::span<const Tensor> indexes) {
  for (const Tensor& target : written) {
    for (const Tensor& index : indexes) demand(target.storage != index.storage, op, "a tensor that is written also says where to write");
  }
}

KvView resolve(const char* op, const View& view, std::size_t extra) {
  const std::size_t rows = view.keys.shape[0];
  const std::int32_t* lengths = view.lengths.integers();
  const std::int32_t* starts = view.starts.integers();
  for (std::size_t head = 0; head < view.kv_heads; head++) {
    if (lengths[head] < 0) fail(op, head, "has a negative length");
    const std::size_t count = static_cast<std::size_t>(lengths[head]) + extra;
    if (view.table) {
      check_blocks(op, view, head, count, rows);
    } else if (starts[head] < 0 || static_cast<std::size_t>(starts[head]) + count > rows) {
      fail(op, head, "holds " + std::to_string(count) + " entries from row " + std::to_string(starts[head]) + " on, outside its " +
                         std::to_string(rows) + " rows");
    }
  }
  KvView out;
  out.type = view.dtype;
  out.kv_heads = view.kv_heads;
  out.head_dim = view.head_dim;
  out.keys = view.keys.storage->data();
  out.values = view.values.storage->data();
  out.lengths = view.lengths.integers();
  out.starts = starts;
  out.positions = view.positions ? view.positions->integers() : nullptr;
  out.table = view.table ? view.table->integers() : nullptr;
  out.block_size = view.block_size;
  out.blocks_per_head = view.table ? view.table->shape[1] : 0;
  return out;
}

KvView resolve_uniform(const char* op, const View& view) {
  for (std::size_t head = 0; head < view.kv_heads; head++) {
    const std::int32_t length = view.lengths.integers()[head];
    if (length < 0 || static_cast<std::size_t>(length) != view.max_length) {
      fail(op, head, "holds " + std::to_string(length) + " entries, not " + std::to_string(view.max_length));
    }
  }
  return resolve(op, view, 0);
}

}  // namespace kvsift::launch

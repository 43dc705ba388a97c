#include "launch/kv_view.h"

#include "launch/check.h"

namespace kvsift::launch {

void check_view(const char* op, const View& view) {
  const bool blocks = view.dtype == DType::q8_0;
  demand(blocks || view.dtype == DType::f32 || view.dtype == DType::f16 || view.dtype == DType::bf16, op, "a cache holds f32, f16, bf16 or q8_0");
  demand(!blocks || view.head_dim % 32 == 0, op, "a cache in q8_0 needs a head dim of whole blocks of 32");
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

}  // namespace kvsift::launch

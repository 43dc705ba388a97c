#include "launch/attention.h"

namespace kvsift::KVSIFT_TARGET {

namespace {
constexpr std::size_t largest = 0x7fffffff - 256;
}

void check_view(const Launch& launch, const KvView& view, const char* name) {
  const std::string label = name;
  const bool blocks = view.type == KVSIFT_CUDA_Q8_0;
  launch.require(blocks || view.type == KVSIFT_CUDA_F32 || view.type == KVSIFT_CUDA_F16 || view.type == KVSIFT_CUDA_BF16, KVSIFT_CUDA_DTYPE_MISMATCH,
                 label + " must be f32, f16, bf16 or q8_0");
  launch.require(!blocks || view.head_dim % 32 == 0, KVSIFT_CUDA_SHAPE_MISMATCH, label + " in q8_0 needs a head dim of whole blocks of 32");
  launch.require(view.kv_heads > 0 && view.kv_heads <= 65535, KVSIFT_CUDA_SHAPE_MISMATCH, label + " has " + std::to_string(view.kv_heads) + " heads");
  launch.require(view.head_dim > 0 && view.head_dim <= 256, KVSIFT_CUDA_UNSUPPORTED,
                 label + " needs a head dim of at most 256, not " + std::to_string(view.head_dim));
  launch.require(view.max_length <= largest, KVSIFT_CUDA_UNSUPPORTED, label + " is too long");
  launch.pointer(view.keys, "keys", 16);
  launch.pointer(view.values, "values", 16);
  launch.pointer(view.lengths, "lengths", 4);
  if (view.table == nullptr) {
    launch.pointer(view.starts, "starts", 4);
  } else {
    launch.require(view.block_size > 0 && view.blocks_per_head > 0, KVSIFT_CUDA_INVALID_ARGUMENT, label + " has a block table but no block size");
  }
}

void check_shape(const Launch& launch, const AttentionShape& shape, const KvView& view, const std::int32_t* positions) {
  launch.require(shape.query_heads > 0 && shape.query_heads % view.kv_heads == 0 && shape.query_heads <= 65535, KVSIFT_CUDA_SHAPE_MISMATCH,
                 std::to_string(shape.query_heads) + " query heads over " + std::to_string(view.kv_heads) + " KV heads");
  launch.require(shape.softcap >= 0 && shape.window >= 0, KVSIFT_CUDA_INVALID_ARGUMENT, "softcap and window must not be negative");
  launch.require(shape.window == 0 || positions != nullptr, KVSIFT_CUDA_INVALID_ARGUMENT, "a window needs the positions of the query rows");
}

bool tiles_fit(const KvView& view) {
  const std::size_t d = view.head_dim;
  return (view.type == KVSIFT_CUDA_F16 || view.type == KVSIFT_CUDA_BF16) && (d == 64 || d == 80 || d == 96 || d == 128 || d == 256);
}

}  // namespace kvsift::KVSIFT_TARGET

#pragma once

#include <optional>
#include <span>
#include <vector>

#include "kvsift/kv.h"
#include "launch/backend.h"

namespace kvsift::launch {

/** `KvView` of packages/tensor/src/kv.ts. */
struct View {
  DType dtype = DType::f32;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  Tensor keys;
  Tensor values;
  Tensor lengths;
  Tensor starts;
  std::optional<Tensor> positions;
  std::optional<Tensor> table;
  std::size_t block_size = 0;
  std::size_t max_length = 0;
};

struct Segment {
  View view;
  std::size_t rows = 0;
};

/** Dtypes and shapes. @throws Fault */
void check_view(const char* op, const View& view);

/** Adds all tensors of a view to a list. */
void add_inputs(const View& view, std::vector<Tensor>& inputs);

/** No tensor that is written may be one of those that say where to read or write. @throws Fault */
void expect_apart(const char* op, std::span<const Tensor> written, std::span<const Tensor> indexes);

/**
 * The view on raw pointers. Looks at the numbers on the executor: every entry of every head, and `extra` more, must lie inside the memory.
 * @throws Fault `invalid_argument`
 */
KvView resolve(const char* op, const View& view, std::size_t extra);

/** The same where all heads must hold exactly `max_length` entries. */
KvView resolve_uniform(const char* op, const View& view);

}  // namespace kvsift::launch

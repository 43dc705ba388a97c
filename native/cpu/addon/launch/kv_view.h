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

struct SelectionTensors {
  Tensor indices;
  Tensor offsets;
};

// What looks at the numbers of a view, on the executor (kv_access.cpp).

/**
 * The view on raw pointers. Every entry of every head, and `extra` more, must lie inside the memory.
 * @throws Fault `invalid_argument`
 */
KvView resolve(Context& context, const char* op, const View& view, std::size_t extra);

/** The same where all heads must hold exactly `max_length` entries. */
KvView resolve_uniform(Context& context, const char* op, const View& view);

/** Copies the selected entries, or all of them. @throws Fault `invalid_argument` where an entry does not exist or the target has no room */
void gather(Context& context, const View& from, const std::optional<SelectionTensors>& selection, const View& to);

/** Moves the selected entries of each head to its first slots. @throws Fault `invalid_argument` where an entry does not exist, or they do not ascend */
void compact(Context& context, const View& view, const SelectionTensors& selection);

}  // namespace kvsift::launch

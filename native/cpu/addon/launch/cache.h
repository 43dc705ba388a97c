#pragma once

#include "launch/kv_view.h"

namespace kvsift::launch {

// The cache ops of packages/tensor/src/backend.ts.

void kv_append(Backend& backend, std::vector<Segment> segments, const Tensor& k, const Tensor& v, const Tensor& positions);

/** Without a selection every entry is copied. */
void kv_gather(Backend& backend, const View& from, const std::optional<SelectionTensors>& selection, const View& to);

/** Moves the selected entries of each head to its first slots, where they lie. */
void kv_compact(Backend& backend, const View& view, const SelectionTensors& selection);

Tensor kv_read(Backend& backend, const View& view, KvPart part, std::size_t start, std::size_t end);
void kv_replace(Backend& backend, const View& view, KvPart part, const Tensor& x);

}  // namespace kvsift::launch

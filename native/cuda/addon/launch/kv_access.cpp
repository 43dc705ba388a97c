// What the numbers of a cache say only the device knows, and only it looks at them: kernels go by lengths that they have checked, and set faults.
#include "launch/kv_view.h"

namespace kvsift::launch {

namespace {

kvsift_cuda_slot_selection slots_of(const SelectionTensors& selection, const View& from) {
  const std::size_t total = selection.indices.count();
  return {selection.indices.integers(), selection.offsets.integers(), std::min(total, from.max_length), total};
}

}  // namespace

KvView resolve(Context&, const char*, const View& view, std::size_t) {
  KvView out{};
  out.type = static_cast<kvsift_cuda_dtype>(view.dtype);
  out.kv_heads = view.kv_heads;
  out.head_dim = view.head_dim;
  out.keys = view.keys.storage->data();
  out.values = view.values.storage->data();
  out.lengths = view.lengths.integers();
  out.starts = view.starts.integers();
  out.positions = view.positions ? view.positions->integers() : nullptr;
  out.table = view.table ? view.table->integers() : nullptr;
  out.block_size = view.block_size;
  out.blocks_per_head = view.table ? view.table->shape[1] : 0;
  out.max_length = view.max_length;
  out.rows = view.keys.shape[0];
  return out;
}

KvView resolve_uniform(Context& context, const char* op, const View& view) { return resolve(context, op, view, 0); }

void gather(Context& context, const View& from, const std::optional<SelectionTensors>& selection, const View& to) {
  const KvView source = resolve(context, "kvGather", from, 0);
  const KvView target = resolve(context, "kvGather", to, 0);
  kvsift_cuda_slot_selection slots{};
  if (selection) slots = slots_of(*selection, from);
  context.watch();
  context.run(kvsift_cuda_kv_gather(context.kernels(), context.stream(), &source, selection ? &slots : nullptr, &target));
}

void compact(Context& context, const View& view, const SelectionTensors& selection) {
  const KvView cache = resolve(context, "kvCompact", view, 0);
  const kvsift_cuda_slot_selection slots = slots_of(selection, view);
  context.watch();
  context.run(kvsift_cuda_kv_compact(context.kernels(), context.stream(), &cache, &slots));
}

}  // namespace kvsift::launch

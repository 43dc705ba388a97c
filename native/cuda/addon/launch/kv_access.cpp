// What the numbers of a cache say only the device knows, and only it looks at them: kernels go by lengths that they have checked, and set faults.
#include "launch/kv_view.h"

namespace kvsift::launch {

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
  if (selection) {
    slots.indices = selection->indices.integers();
    slots.offsets = selection->offsets.integers();
    slots.total = selection->indices.count();
    slots.max_per_head = std::min(slots.total, from.max_length);
  }
  context.watch();
  context.run(kvsift_cuda_kv_gather(context.kernels(), context.stream(), &source, selection ? &slots : nullptr, &target));
}

}  // namespace kvsift::launch

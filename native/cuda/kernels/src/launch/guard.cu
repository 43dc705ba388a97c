#include "launch/guard.h"

#include <algorithm>

#include "kernels/guard.cuh"

namespace kvsift::KVSIFT_TARGET {

std::size_t guard_bytes(std::span<const KvView> views) {
  std::size_t heads = 0;
  for (const KvView& view : views) heads += view.kv_heads;
  return heads * sizeof(std::int32_t);
}

void guard(const Launch& launch, std::span<KvView> views, int exactly, std::int32_t* room) {
  for (std::size_t first = 0; first < views.size(); first += guard_views) {
    const std::size_t count = std::min<std::size_t>(guard_views, views.size() - first);
    GuardArguments a{};
    std::size_t heads = 0;
    for (std::size_t i = 0; i < count; i++) {
      KvView& view = views[first + i];
      a.views[i] = view;
      a.lengths[i] = room;
      view.lengths = room;
      room += view.kv_heads;
      heads = std::max(heads, view.kv_heads);
    }
    a.exactly = exactly;
    a.faults = launch.context.faults;
    const Grid grid{static_cast<unsigned>(heads), static_cast<unsigned>(count), 1};
    launch.start_early(guard_lengths, grid, guard_threads, 0, a);
  }
}

void guard_selection(const Launch& launch, const KvView& from, const kvsift_cuda_slot_selection* selection, const KvView& to, std::int32_t* kept) {
  launch.check(start_kernel(guard_kept, Grid{static_cast<unsigned>(from.kv_heads), 1, 1}, guard_threads, 0, launch.stream, from, to,
                            selection != nullptr ? selection->offsets : nullptr, selection != nullptr ? selection->total : 0, kept,
                            launch.context.faults));
}

}  // namespace kvsift::KVSIFT_TARGET

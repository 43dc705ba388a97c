#pragma once

namespace kvsift::launch {

/** Whether a cache may be in blocks of q8_0: the kernels do not read such yet. */
inline constexpr bool q8_caches = false;

}  // namespace kvsift::launch

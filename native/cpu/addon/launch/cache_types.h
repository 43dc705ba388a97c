#pragma once

namespace kvsift::launch {

/** Whether a cache may be in blocks of q8_0. */
inline constexpr bool q8_caches = true;

}  // namespace kvsift::launch

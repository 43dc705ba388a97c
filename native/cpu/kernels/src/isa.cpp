#include "kvsift/isa.h"

#include <cstring>

#include "kernel_table.h"

namespace kvsift {

namespace {

constexpr const char* names[isa_count] = {"portable", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "avx512-bf16"};

bool machine_has(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::portable: return true;
    case Isa::avx2: return avx2;
    case Isa::avx2_vnni: return avx2 && __builtin_cpu_supports("avxvnni");
    case Isa::avx512: return avx512;
    case Isa::avx512_vnni: return avx512 && __builtin_cpu_supports("avx512vnni");
    case Isa::avx512_bf16: return avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return isa == Isa::portable;
#endif
}

}  // namespace

bool isa_supported(Isa isa) { return machine_has(isa); }

Isa best_isa() {
  for (int level = isa_count - 1; level > 0; level--) {
    if (isa_supported(static_cast<Isa>(level))) return static_cast<Isa>(level);
  }
  return Isa::portable;
}

const char* isa_name(Isa isa) { return names[static_cast<int>(isa)]; }

bool isa_from_name(const char* name, Isa& isa) {
  for (int level = 0; level < isa_count; level++) {
    if (std::strcmp(name, names[level]) == 0) {
      isa = static_cast<Isa>(level);
      return true;
    }
  }
  return false;
}

}  // namespace kvsift

#include "kvsift/isa.h"

#include <cstring>

#if defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace kvsift {

namespace {

constexpr const char* names[isa_count] = {"portable", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "avx512-bf16",
                                          "avx512-amx", "neon", "neon-dotprod", "neon-i8mm"};

#if defined(__x86_64__)
/** True where the CPU has AMX with bf16 products and the system lets this process use it: Linux wants to be asked. */
bool amx_granted() {
#if defined(__linux__)
  static const bool granted = [] {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    constexpr unsigned tiles_of_bf16 = 1U << 22 | 1U << 24;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & tiles_of_bf16) != tiles_of_bf16) return false;
    constexpr long request_permission = 0x1023;
    constexpr long tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return granted;
#else
  return false;
#endif
}
#endif

#if defined(__aarch64__)
#if defined(__APPLE__)
bool apple_has(const char* feature) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool arm_has_dotprod() { return apple_has("hw.optional.arm.FEAT_DotProd"); }
bool arm_has_i8mm() { return apple_has("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__linux__)
bool arm_has_dotprod() { return (getauxval(AT_HWCAP) & 1UL << 20) != 0; }  // HWCAP_ASIMDDP
bool arm_has_i8mm() { return (getauxval(AT_HWCAP2) & 1UL << 13) != 0; }    // HWCAP2_I8MM
#else
bool arm_has_dotprod() { return false; }
bool arm_has_i8mm() { return false; }
#endif
#endif

bool machine_has(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
  switch (isa) {
    case Isa::portable: return true;
    case Isa::avx2: return avx2;
    case Isa::avx2_vnni: return avx2 && __builtin_cpu_supports("avxvnni");
    case Isa::avx512: return avx512;
    case Isa::avx512_vnni: return avx512 && __builtin_cpu_supports("avx512vnni");
    case Isa::avx512_bf16: return bf16;
    case Isa::avx512_amx: return bf16 && amx_granted();
    default: return false;
  }
#elif defined(__aarch64__)
  switch (isa) {
    case Isa::portable:
    case Isa::neon: return true;
    case Isa::neon_dotprod: return arm_has_dotprod();
    case Isa::neon_i8mm: return arm_has_dotprod() && arm_has_i8mm();
    default: return false;
  }
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

#pragma once

namespace kvsift {

/** Instruction sets with kernels of their own, weakest first; each level includes what it needs of the ones before. */
enum class Isa {
  portable,
  avx2,         // AVX2, FMA, F16C
  avx2_vnni,    // and AVX-VNNI
  avx512,       // AVX-512 F, BW, DQ, VL
  avx512_vnni,  // and AVX-512 VNNI
  avx512_bf16,  // and AVX-512 BF16 and VBMI
  avx512_amx,   // and AMX with bf16
  neon,          // 64-bit ARM
  neon_dotprod,  // and dot products of bytes of one sign
  neon_i8mm,     // and of both signs
};

inline constexpr int isa_count = 10;

/** True where this machine and this build can run the level. */
bool isa_supported(Isa isa);

/** The strongest supported level. */
Isa best_isa();

/** "portable", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "avx512-bf16", "avx512-amx", "neon", "neon-dotprod", "neon-i8mm". */
const char* isa_name(Isa isa);

/** The level of that name; false where there is none. */
bool isa_from_name(const char* name, Isa& isa);

}  // namespace kvsift

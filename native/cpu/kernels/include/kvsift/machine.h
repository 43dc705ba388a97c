#pragma once

#include "kvsift/context.h"

namespace kvsift {

/** What this machine can do with the threads of a context, measured; 0 where the instruction is missing. */
struct MachineLimits {
  double f32_gflops = 0;   // fused multiply-add, widest registers
  double bf16_gflops = 0;  // bf16 dot products
  double int8_gops = 0;    // 8-bit integer dot products
  double l2_gbytes = 0;    // read bandwidth, gigabytes per second, all threads
  double l3_gbytes = 0;
  double memory_gbytes = 0;
};

/** Takes about `seconds` in all. The best of several rounds, as others may use the machine. */
MachineLimits measure_machine(Context& context, double seconds = 1.0);

/** Read bandwidth (GB/s) of all threads over `bytes` in all, best round within `seconds`. */
double measure_read_bandwidth(Context& context, std::size_t bytes, double seconds);

}  // namespace kvsift

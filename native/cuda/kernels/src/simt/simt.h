#pragma once

// What kernels and launchers see of the machine: CUDA, or the host standing in for it.
#ifdef KVSIFT_EMULATED
#define KVSIFT_TARGET emulated
#include "simt/emulated.h"
#else
#define KVSIFT_TARGET cuda
#include "simt/device.h"
#endif

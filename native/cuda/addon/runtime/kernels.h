#pragma once

#include "kvsift_cuda.h"

// The kernels under one name, whether they run on a GPU or on the host in its place.
#ifdef KVSIFT_EMULATED
namespace kvsift {
using namespace emulated;
}
#endif

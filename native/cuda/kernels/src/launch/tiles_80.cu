#include "launch/tiles.cuh"

namespace kvsift::KVSIFT_TARGET {

template void start_tiles<F16, 80>(const Launch&, Grid, const PrefillArguments*, const ColumnWork*);
template void start_tiles<BF16, 80>(const Launch&, Grid, const PrefillArguments*, const ColumnWork*);

}  // namespace kvsift::KVSIFT_TARGET

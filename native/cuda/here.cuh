// The grid position of the running thread.
#pragma once

#include "cuda/kernels/grid.h"

namespace wisemerge::cuda {

__device__ __forceinline__ GridPosition here() { return {blockIdx.x, gridDim.x, threadIdx.x, blockDim.x}; }

}  // namespace wisemerge::cuda

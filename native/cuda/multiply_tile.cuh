// A block's way through a tile of a matrix product.
#pragma once

#include "cuda/kernels/matmul.h"

namespace wisemerge::cuda {

// Two buffers of shared memory: while one is multiplied, the next steps' elements come from device memory
// into registers and go to the other. One barrier per exchange.
__device__ __forceinline__ void multiply_tile(MatmulThread& tile, MatmulShared (&shared)[2]) {
  const Matmul& call = tile.call;
  if (call.k > 0) {
    tile.fetch(0);
    tile.store(shared[0]);
    __syncthreads();
    uint32_t turn = 0;
    for (uint32_t step = kMatmulDepth; step < call.k; step += kMatmulDepth, turn ^= 1) {
      tile.fetch(step);
      tile.multiply(shared[turn]);
      tile.store(shared[turn ^ 1]);
      __syncthreads();
    }
    tile.multiply(shared[turn]);
  }
  tile.write();
}

}  // namespace wisemerge::cuda

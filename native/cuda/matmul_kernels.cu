#include "cuda/head_launch.h"

namespace wisemerge::cuda {
namespace {

// Two buffers of shared memory: while one is multiplied, the next steps' elements come from device memory
// into registers and go to the other. One barrier per exchange.
__global__ void __launch_bounds__(kMatmulThreads) matmul_tiles_kernel(const Matmul call) {
  __shared__ MatmulShared shared[2];
  MatmulThread tile(call, blockIdx.x, threadIdx.x);
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

}  // namespace

cudaError_t launch(const Matmul& call, cudaStream_t stream) {
  const uint64_t tiles = matmul_tiles(call);
  if (tiles == 0) return cudaSuccess;
  matmul_tiles_kernel<<<static_cast<uint32_t>(tiles), kMatmulThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

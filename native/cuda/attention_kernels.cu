#include "cuda/network_launch.h"

namespace wisemerge::cuda {
namespace {

struct DeviceTeam {
  AttentionThread thread;

  template <class Body>
  __device__ __forceinline__ void operator()(Body body) {
    body(thread);
    __syncthreads();
  }
};

__global__ void __launch_bounds__(kAttentionThreads) attention(const Attention call, uint32_t tiles) {
  __shared__ AttentionShared shared;
  DeviceTeam team = {{threadIdx.x, {}}};
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) attend(call, tile, shared, team);
}

}  // namespace

cudaError_t launch(const Attention& call, cudaStream_t stream) {
  const auto tiles = static_cast<uint32_t>(attention_tiles(call));
  if (tiles == 0) return cudaSuccess;
  attention<<<tiles, kAttentionThreads, 0, stream>>>(call, tiles);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

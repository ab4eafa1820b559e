#include "cuda/kernels/warp.cuh"
#include "cuda/tensor_matmul.h"

namespace wisemerge::cuda {
namespace {

// Two buffers of shared memory, as in matmul_kernels.cu: elements are interpolated and split on their way, so
// that they pass through registers and no asynchronous copy could bring them.
template <bool SplitA, bool SplitW>
__global__ void __launch_bounds__(kMatmulThreads, 1) tensor_matmul(const Matmul call) {
  __shared__ TensorShared shared[2];
  TensorStage stage(call, blockIdx.x, threadIdx.x);
  TensorProduct<SplitA, SplitW, DeviceWarp> product(stage, threadIdx.x / kWarpLanes,
                                                    {threadIdx.x % kWarpLanes});
  if (call.k > 0) {
    stage.fetch(0);
    stage.store<SplitA, SplitW>(shared[0]);
    __syncthreads();
    uint32_t turn = 0;
    for (uint32_t step = kTensorDepth; step < call.k; step += kTensorDepth, turn ^= 1) {
      stage.fetch(step);
      product.multiply(shared[turn]);
      stage.store<SplitA, SplitW>(shared[turn ^ 1]);
      __syncthreads();
    }
    product.multiply(shared[turn]);
  }
  product.write();
}

}  // namespace

cudaError_t launch_tensor(const Matmul& call, cudaStream_t stream) {
  const uint64_t tiles = matmul_tiles(call);
  if (tiles == 0) return cudaSuccess;
  void (*kernels[2][2])(Matmul) = {{tensor_matmul<false, false>, tensor_matmul<false, true>},
                                   {tensor_matmul<true, false>, tensor_matmul<true, true>}};
  kernels[tensor_splits_a(call)]
         [tensor_splits_w(call)]<<<static_cast<uint32_t>(tiles), kMatmulThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

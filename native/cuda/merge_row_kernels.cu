#include "cuda/kernels/block.cuh"
#include "cuda/merge_launch.h"

namespace wisemerge::cuda {
namespace {

template <class Scalar>
__global__ void __launch_bounds__(kRankThreads) merge_ranks(const MergeRanks call) {
  __shared__ alignas(16) std::byte shared[kRankShared];
  const uint64_t rows = call.chunk.count / call.chunk.row;
  for (uint64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    rank_block<Scalar>(DeviceBlock{}, call, row, shared);
  }
}

__global__ void __launch_bounds__(kDivergenceThreads) merge_divergence(const MergeDivergence call) {
  divergence_body(here(), call);
}

}  // namespace

cudaError_t launch(const MergeRanks& call, uint32_t blocks, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const cudaError_t status =
      cudaMemsetAsync(call.mask, 0, (call.chunk.count + 31) / 32 * sizeof(uint32_t), stream);
  if (status != cudaSuccess) return status;
  const auto kernel = call.chunk.wide ? merge_ranks<double> : merge_ranks<float>;
  kernel<<<blocks, kRankThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const MergeDivergence& call, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const uint64_t rows = call.chunk.count / call.chunk.row;
  merge_divergence<<<blocks_of(rows, kDivergenceThreads / kMergeLanes), kDivergenceThreads, 0, stream>>>(
      call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

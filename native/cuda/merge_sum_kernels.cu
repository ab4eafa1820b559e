#include "cuda/kernels/block.cuh"
#include "cuda/merge_launch.h"

namespace wisemerge::cuda {
namespace {

template <class Scalar>
__global__ void __launch_bounds__(kSumsThreads) merge_sums(const MergeSums call) {
  __shared__ SumsShared shared;
  const uint64_t units = call.units.count * sums_groups(call.chunk);
  for (uint64_t work = blockIdx.x; work < units; work += gridDim.x) {
    sums_block<Scalar>(DeviceBlock{}, call, work, shared);
  }
}

template <class Scalar>
__global__ void __launch_bounds__(kGramThreads) merge_gram(const MergeGram call) {
  __shared__ GramShared shared;
  const uint64_t units = call.units.count * gram_tiles(call.chunk);
  for (uint64_t work = blockIdx.x; work < units; work += gridDim.x) {
    gram_block<Scalar>(DeviceBlock{}, call, work, shared);
  }
}

template <class Scalar>
__global__ void __launch_bounds__(kColumnThreads) merge_columns(const MergeColumns call) {
  columns_body<Scalar>(here(), call);
}

}  // namespace

cudaError_t launch(const MergeSums& call, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const auto kernel = call.chunk.wide ? merge_sums<double> : merge_sums<float>;
  kernel<<<blocks_of(call.units.count * sums_groups(call.chunk), 1), kSumsThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const MergeGram& call, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const auto kernel = call.chunk.wide ? merge_gram<double> : merge_gram<float>;
  kernel<<<blocks_of(call.units.count * gram_tiles(call.chunk), 1), kGramThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const MergeColumns& call, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const auto kernel = call.chunk.wide ? merge_columns<double> : merge_columns<float>;
  const uint64_t units = pair_count(call.chunk.models) * call.columns;
  kernel<<<blocks_of(units, kColumnThreads), kColumnThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

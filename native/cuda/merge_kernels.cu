#include "cuda/kernels/block.cuh"
#include "cuda/merge_launch.h"

namespace wisemerge::cuda {
namespace {

template <class Scalar>
__global__ void __launch_bounds__(kCombineThreads, 16) merge_combine(const MergeCombine call) {
  extern __shared__ double combine_columns[];
  combine_body(here(), call, reinterpret_cast<Scalar*>(combine_columns));
}

template <class Scalar>
__global__ void __launch_bounds__(kCombineThreads)
    merge_combine_many(const MergeCombine call, std::byte* memory) {
  combine_body(here(), call, reinterpret_cast<Scalar*>(memory + blockIdx.x * combine_memory(call)));
}

template <class Scalar>
__global__ void __launch_bounds__(kCountThreads) merge_count(const MergeCount call) {
  __shared__ CountShared shared;
  count_block<Scalar>(DeviceBlock{}, call, shared);
}

template <class Scalar>
__global__ void __launch_bounds__(kOverlapThreads) merge_overlap(const MergeOverlap call) {
  extern __shared__ uint32_t overlap_memory[];
  overlap_block<Scalar>(DeviceBlock{}, call, overlap_memory);
}

// Packs of a thread that make a block's own counters worth clearing and adding up.
constexpr uint32_t kCountPacks = 16;

}  // namespace

cudaError_t launch(const MergeCombine& call, std::byte* memory, uint32_t blocks, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  if (memory) {
    const auto kernel = call.chunk.wide ? merge_combine_many<double> : merge_combine_many<float>;
    kernel<<<blocks, kCombineThreads, 0, stream>>>(call, memory);
  } else {
    const auto kernel = call.chunk.wide ? merge_combine<double> : merge_combine<float>;
    const uint32_t all = blocks_of(pack_count(call.chunk.count), kCombineThreads);
    kernel<<<all, kCombineThreads, combine_memory(call), stream>>>(call);
  }
  return cudaGetLastError();
}

cudaError_t launch(const MergeCount& call, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const auto kernel = call.chunk.wide ? merge_count<double> : merge_count<float>;
  const uint32_t blocks = blocks_of(pack_count(call.chunk.count), kCountThreads * kCountPacks);
  kernel<<<blocks, kCountThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const MergeOverlap& call, cudaStream_t stream) {
  if (call.chunk.count == 0) return cudaSuccess;
  const auto kernel = call.chunk.wide ? merge_overlap<double> : merge_overlap<float>;
  const size_t shared = 2 * sizeof(uint32_t) * call.chunk.models;
  kernel<<<blocks_of(pack_count(call.chunk.count), kOverlapThreads), kOverlapThreads, shared, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

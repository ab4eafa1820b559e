#include "cuda/gradient_launch.h"
#include "cuda/multiply_tile.cuh"

namespace wisemerge::cuda {
namespace {

// With layouts as constants: whether the depth is contiguous in an operand, or its lines are.
template <bool DeepA, bool DeepW>
__global__ void __launch_bounds__(kMatmulThreads) matmul_batch(const MatmulBatch call, uint32_t tiles) {
  __shared__ MatmulShared shared[2];
  Matmul one = call.at(blockIdx.x / tiles);
  one.a.dtype = one.w0.dtype = DType::kF32;
  (DeepA ? one.a.column_stride : one.a.row_stride) = 1;
  (DeepW ? one.w0.column_stride : one.w0.row_stride) = 1;
#if defined(__CUDA_ARCH__)
  // As kernel_for chooses: the code for the other layout, and its stores of single words, is left out.
  if constexpr (!DeepA) __builtin_assume(one.a.column_stride != 1);
  if constexpr (!DeepW) __builtin_assume(one.w0.column_stride != 1);
#endif
  one.w1.data = nullptr;
  one.bias = nullptr;
  MatmulThread tile(one, blockIdx.x % tiles, threadIdx.x);
  if (call.add) resume_sums(tile);
  multiply_tile(tile, shared);
}

using BatchKernel = void (*)(MatmulBatch, uint32_t);

// Both contiguous along the other: no product of training, but a product.
BatchKernel kernel_for(const Matmul& product) {
  const bool deep_a = product.a.column_stride == 1, deep_w = product.w0.column_stride == 1;
  if (deep_a) return deep_w ? matmul_batch<true, true> : matmul_batch<true, false>;
  return deep_w ? matmul_batch<false, true> : matmul_batch<false, false>;
}

}  // namespace

cudaError_t launch(const MatmulBatch& call, cudaStream_t stream) {
  const uint64_t tiles = matmul_tiles(call.product), blocks = tiles * call.items;
  if (blocks == 0) return cudaSuccess;
  kernel_for(call.product)<<<static_cast<uint32_t>(blocks), kMatmulThreads, 0, stream>>>(
      call, static_cast<uint32_t>(tiles));
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

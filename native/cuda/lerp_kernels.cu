#include "cuda/here.cuh"
#include "cuda/kernels/lerp_mixed.h"
#include "cuda/launch.h"

namespace wisemerge::cuda {
namespace {

template <DType X, DType Y, DType Out>
__global__ void __launch_bounds__(kLerpThreads)
    lerp_fused(const LerpSegment* segments, uint32_t segment_count, uint32_t tile_count) {
  lerp_body<X, Y, Out>(here(), segments, segment_count, tile_count);
}

template <class Wide>
__global__ void __launch_bounds__(kLerpThreads)
    lerp_mixed(const LerpSegment* segments, uint32_t segment_count, uint32_t tile_count) {
  lerp_mixed_body<Wide>(here(), segments, segment_count, tile_count);
}

}  // namespace

LerpKernel lerp_kernel(DType x, DType y, DType out) {
#define X(a, b, c)                                                                                      \
  if (x == DType::a && y == DType::b && out == DType::c) {                                              \
    return {lerp_fused<DType::a, DType::b, DType::c>, kLerpTileElements<DType::a, DType::b, DType::c>}; \
  }
  WM_FUSED_LERPS(X)
#undef X
  if (x == DType::kF64 || y == DType::kF64) return {lerp_mixed<double>, kMixedTileElements};
  return {lerp_mixed<float>, kMixedTileElements};
}

cudaError_t launch(const LerpKernel& kernel, const LerpSegment* segments, const LerpTotals& totals,
                   cudaStream_t stream) {
  if (totals.tiles == 0) return cudaSuccess;
  constexpr uint32_t kMaxBlocks = 1u << 30;  // below the grid limit; the bodies stride
  const uint32_t blocks = totals.tiles < kMaxBlocks ? totals.tiles : kMaxBlocks;
  kernel.function<<<blocks, kLerpThreads, 0, stream>>>(segments, totals.segments, totals.tiles);
  return cudaGetLastError();
}

cudaError_t try_kernels() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, lerp_mixed<float>);
}

#define WM_TEXT_(...) #__VA_ARGS__
#define WM_TEXT(...) WM_TEXT_(__VA_ARGS__)
const char* kernel_architectures() { return WM_TEXT(__CUDA_ARCH_LIST__); }

}  // namespace wisemerge::cuda

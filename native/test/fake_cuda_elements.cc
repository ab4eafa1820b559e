// The launches of interpolation and comparison for the CUDA runtime without a device (fake_cuda_runtime.cc).
#include "cuda/kernels/lerp_mixed.h"
#include "cuda/launch.h"
#include "fake_cuda_stream.h"

namespace wisemerge::cuda {
namespace {

using LerpBody = void (*)(const GridPosition&, const LerpSegment*, uint32_t, uint32_t);

// A kernel with the signature of the device's: one block runs all tiles, thread after thread.
template <LerpBody Body>
void lerp_on_host(const LerpSegment* segments, uint32_t segment_count, uint32_t tile_count) {
  for (uint32_t thread = 0; thread < kLerpThreads; thread++) {
    Body({0, 1, thread, kLerpThreads}, segments, segment_count, tile_count);
  }
}

template <class LaneSums>
void compare_on_host(const CompareSegment* segments, uint32_t segment_count, LaneSums lane_sums) {
  for (uint32_t s = 0; s < segment_count; s++) {
    for (uint32_t block = 0; block < compare_block_count(segments[s].count); block++) {
      CompareSums lanes[kCompareLanes];
      for (uint32_t lane = 0; lane < kCompareLanes; lane++) lanes[lane] = lane_sums(segments[s], block, lane);
      for (uint32_t step = kCompareLanes / 2; step > 0; step /= 2) {
        for (uint32_t lane = 0; lane < step; lane++) compare_add(lanes[lane], lanes[lane + step]);
      }
      segments[s].blocks[block] = lanes[0];
    }
  }
}

template <DType D>
void compare_fused(const CompareSegment* segments, uint32_t segment_count, uint32_t) {
  compare_on_host(segments, segment_count, compare_lane<D, D>);
}
void compare_mixed(const CompareSegment* segments, uint32_t segment_count, uint32_t) {
  compare_on_host(segments, segment_count, compare_lane_mixed);
}

}  // namespace

LerpKernel lerp_kernel(DType x, DType y, DType out) {
#define X(a, b, c)                                                 \
  if (x == DType::a && y == DType::b && out == DType::c) {         \
    return {lerp_on_host<lerp_body<DType::a, DType::b, DType::c>>, \
            kLerpTileElements<DType::a, DType::b, DType::c>};      \
  }
  WM_FUSED_LERPS(X)
#undef X
  if (x == DType::kF64 || y == DType::kF64)
    return {lerp_on_host<lerp_mixed_body<double>>, kMixedTileElements};
  return {lerp_on_host<lerp_mixed_body<float>>, kMixedTileElements};
}

cudaError_t launch(const LerpKernel& kernel, const LerpSegment* segments, const LerpTotals& totals,
                   cudaStream_t stream) {
  return test::fake_launch(stream, [=] { kernel.function(segments, totals.segments, totals.tiles); });
}

CompareKernel compare_kernel(DType x, DType y) {
#define X(D) \
  if (x == DType::D && y == DType::D) return {compare_fused<DType::D>};
  WM_FLOAT_DTYPES(X)
#undef X
  return {compare_mixed};
}

cudaError_t launch(const CompareKernel& kernel, const CompareSegment* segments, const CompareTotals& totals,
                   cudaStream_t stream) {
  return test::fake_launch(stream, [=] {
    kernel.function(segments, totals.segments, totals.blocks);
    for (uint32_t s = 0; s < totals.segments; s++) {
      for (uint32_t span = 0; span < compare_span_count(segments[s].count); span++) {
        compare_span(segments[s], span);
      }
    }
  });
}

cudaError_t try_kernels() { return test::fake_result(test::fake_call()); }

const char* kernel_architectures() { return "host replay"; }

}  // namespace wisemerge::cuda

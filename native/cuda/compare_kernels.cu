#include "cuda/here.cuh"
#include "cuda/launch.h"

namespace wisemerge::cuda {
namespace {

// Phase 2: lane[i] += lane[i + step]. Lanes past the fold compute values that nobody reads.
__device__ void fold_lanes(CompareSums& sums) {
  constexpr unsigned kAll = 0xffffffffu;
  for (unsigned step = kCompareLanes / 2; step > 0; step /= 2) {
    CompareSums other;
    other.xx = __shfl_down_sync(kAll, sums.xx, step);
    other.yy = __shfl_down_sync(kAll, sums.yy, step);
    other.xy = __shfl_down_sync(kAll, sums.xy, step);
    other.dd = __shfl_down_sync(kAll, sums.dd, step);
    other.max_abs = __shfl_down_sync(kAll, sums.max_abs, step);
    other.unchanged = __shfl_down_sync(kAll, sums.unchanged, step);
    other.x_nan = __shfl_down_sync(kAll, sums.x_nan, step);
    other.x_inf = __shfl_down_sync(kAll, sums.x_inf, step);
    other.y_nan = __shfl_down_sync(kAll, sums.y_nan, step);
    other.y_inf = __shfl_down_sync(kAll, sums.y_inf, step);
    compare_add(sums, other);
  }
}

// One warp per block of kCompareBlock elements. `Lane` is phase 1.
template <class Lane>
__device__ __forceinline__ void compare_warps(const CompareSegment* segments, uint32_t segment_count,
                                              uint32_t block_count, Lane lane_sums) {
  const GridPosition at = here();
  const uint32_t warps = at.threads / kCompareLanes, lane = at.thread % kCompareLanes;
  for (uint32_t block = at.block * warps + at.thread / kCompareLanes; block < block_count;
       block += at.blocks * warps) {
    const CompareSegment segment = find_segment(segments, segment_count, block, &CompareSegment::first_block);
    CompareSums sums = lane_sums(segment, block - segment.first_block, lane);
    fold_lanes(sums);
    if (lane == 0) segment.blocks[block - segment.first_block] = sums;
  }
}

template <DType X, DType Y>
__global__ void __launch_bounds__(kCompareThreads)
    compare_fused(const CompareSegment* segments, uint32_t segment_count, uint32_t block_count) {
  compare_warps(segments, segment_count, block_count,
                [](const CompareSegment& segment, uint32_t block, uint32_t lane) {
                  return compare_lane<X, Y>(segment, block, lane);
                });
}

__global__ void __launch_bounds__(kCompareThreads)
    compare_mixed(const CompareSegment* segments, uint32_t segment_count, uint32_t block_count) {
  compare_warps(segments, segment_count, block_count,
                [](const CompareSegment& segment, uint32_t block, uint32_t lane) {
                  return compare_lane_mixed(segment, block, lane);
                });
}

__global__ void compare_spans(const CompareSegment* segments, uint32_t segment_count, uint32_t span_count) {
  const GridPosition at = here();
  for (uint32_t span = at.block * at.threads + at.thread; span < span_count; span += at.blocks * at.threads) {
    const CompareSegment segment = find_segment(segments, segment_count, span, &CompareSegment::first_span);
    compare_span(segment, span - segment.first_span);
  }
}

}  // namespace

CompareKernel compare_kernel(DType x, DType y) {
  if (x != y) return {compare_mixed};
  switch (x) {
#define X(D)     \
  case DType::D: \
    return {compare_fused<DType::D, DType::D>};
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      return {compare_mixed};
  }
}

cudaError_t launch(const CompareKernel& kernel, const CompareSegment* segments, const CompareTotals& totals,
                   cudaStream_t stream) {
  if (totals.blocks == 0) return cudaSuccess;
  constexpr uint32_t kWarps = kCompareThreads / kCompareLanes;
  const uint32_t warp_blocks = (totals.blocks + kWarps - 1) / kWarps;
  kernel.function<<<warp_blocks, kCompareThreads, 0, stream>>>(segments, totals.segments, totals.blocks);
  // Few threads with long loops: small blocks spread them over the multiprocessors.
  constexpr uint32_t kSpanThreads = 32;
  const uint32_t span_blocks = (totals.spans + kSpanThreads - 1) / kSpanThreads;
  compare_spans<<<span_blocks, kSpanThreads, 0, stream>>>(segments, totals.segments, totals.spans);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

// The reduction of wisemerge/compare.h in phases that the host can replay: a lane sums its elements of a
// block, the lanes of a warp fold as a tree, one thread adds the blocks of a span.
#pragma once

#include "cuda/kernels/lerp_mixed.h"
#include "wisemerge/compare.h"

namespace wisemerge::cuda {

// One tensor range that starts at a span boundary, all pointers in device memory.
struct CompareSegment {
  const void* x;
  const void* y;
  uint64_t count;        // elements, not 0
  CompareSums* blocks;   // [ceil(count / kCompareBlock)], between the phases
  CompareSums* spans;    // [ceil(count / kCompareSpan)]
  uint32_t first_block;  // blocks of the segments before this one
  uint32_t first_span;
  DType x_dtype, y_dtype;
};

inline constexpr uint32_t kCompareThreads = 256;
inline constexpr uint32_t kCompareBatch = 8;  // elements a lane loads before it uses the first
static_assert(kCompareLanes == 32, "one warp folds the lanes");

WM_HD uint32_t compare_block_count(uint64_t count) {
  return static_cast<uint32_t>((count + kCompareBlock - 1) / kCompareBlock);
}
WM_HD uint32_t compare_span_count(uint64_t count) {
  return static_cast<uint32_t>((count + kCompareSpan - 1) / kCompareSpan);
}

// compare_element, with the tests for NaN and infinity on the bits: f64 units are the scarce ones here.
template <DType X, DType Y>
WM_HD void compare_bits(CompareSums& lane, typename Element<X>::Bits x_bits,
                        typename Element<Y>::Bits y_bits) {
  if (Element<X>::non_finite(x_bits) || Element<Y>::non_finite(y_bits)) {
    compare_element<X, Y>(lane, x_bits, y_bits);
    return;
  }
  const double x = Element<X>::load64(x_bits), y = Element<Y>::load64(y_bits), d = y - x;
  lane.unchanged += bit_cast<uint64_t>(x) == bit_cast<uint64_t>(y);
  lane.xx = fma(x, x, lane.xx);
  lane.yy = fma(y, y, lane.yy);
  lane.xy = fma(x, y, lane.xy);
  lane.dd = fma(d, d, lane.dd);
  const double magnitude = d < 0 ? -d : d;
  lane.max_abs = magnitude > lane.max_abs ? magnitude : lane.max_abs;
}

// Phase 1 for dtypes known at compile time: the sums of `lane` over block `block` of the segment.
template <DType X, DType Y>
WM_HD CompareSums compare_lane(const CompareSegment& segment, uint32_t block, uint32_t lane) {
  const uint64_t begin = static_cast<uint64_t>(block) * kCompareBlock;
  const uint64_t left = segment.count - begin;
  const uint32_t count = left < kCompareBlock ? static_cast<uint32_t>(left) : kCompareBlock;
  const auto* x = static_cast<const typename Element<X>::Bits*>(segment.x) + begin;
  const auto* y = static_cast<const typename Element<Y>::Bits*>(segment.y) + begin;
  CompareSums sums;
  uint32_t e = lane;
  for (; e + (kCompareBatch - 1) * kCompareLanes < count; e += kCompareBatch * kCompareLanes) {
    typename Element<X>::Bits xs[kCompareBatch];
    typename Element<Y>::Bits ys[kCompareBatch];
    WM_UNROLL
    for (uint32_t b = 0; b < kCompareBatch; b++) {
      xs[b] = x[e + b * kCompareLanes];
      ys[b] = y[e + b * kCompareLanes];
    }
    WM_UNROLL
    for (uint32_t b = 0; b < kCompareBatch; b++) compare_bits<X, Y>(sums, xs[b], ys[b]);
  }
  for (; e < count; e += kCompareLanes) compare_bits<X, Y>(sums, x[e], y[e]);
  return sums;
}

// Phase 1 for two different dtypes, read from the table. Compared as F64: widening is exact, and equal values
// of different dtypes count as unchanged.
WM_HD CompareSums compare_lane_mixed(const CompareSegment& segment, uint32_t block, uint32_t lane) {
  const uint64_t begin = static_cast<uint64_t>(block) * kCompareBlock;
  const uint64_t left = segment.count - begin;
  const uint32_t count = left < kCompareBlock ? static_cast<uint32_t>(left) : kCompareBlock;
  CompareSums sums;
  for (uint32_t e = lane; e < count; e += kCompareLanes) {
    const double x = load_wide<double>(segment.x_dtype, segment.x, begin + e);
    const double y = load_wide<double>(segment.y_dtype, segment.y, begin + e);
    compare_element<DType::kF64, DType::kF64>(sums, bit_cast<uint64_t>(x), bit_cast<uint64_t>(y));
  }
  return sums;
}

// Phase 3: the blocks of span `span` of the segment, in ascending order.
WM_HD void compare_span(const CompareSegment& segment, uint32_t span) {
  constexpr uint32_t kBlocks = kCompareSpan / kCompareBlock;
  const uint32_t blocks = compare_block_count(segment.count);
  const uint32_t begin = span * kBlocks;
  const uint32_t end = begin + kBlocks < blocks ? begin + kBlocks : blocks;
  CompareSums sums;
  for (uint32_t block = begin; block < end; block++) compare_add(sums, segment.blocks[block]);
  segment.spans[span] = sums;
}

}  // namespace wisemerge::cuda

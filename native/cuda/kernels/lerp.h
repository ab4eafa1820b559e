// Interpolation of a table of tensor ranges in one launch: x and y are read once, every alpha is written from
// registers. One body per compiled dtype triple; lerp_mixed.h takes the others.
#pragma once

#include "cuda/kernels/grid.h"
#include "cuda/kernels/lerp_pack.h"
#include "cuda/kernels/pack.h"

// X(x, y, out): the triples with a kernel of their own. All X == Y == Out must be here (see lerp_mixed_body);
// the others are those a merge in practice asks for.
#define WM_FUSED_LERPS(X)      \
  X(kF8E5M2, kF8E5M2, kF8E5M2) \
  X(kF8E4M3, kF8E4M3, kF8E4M3) \
  X(kF16, kF16, kF16)          \
  X(kBF16, kBF16, kBF16)       \
  X(kF32, kF32, kF32)          \
  X(kF64, kF64, kF64)          \
  X(kF16, kF16, kF32)          \
  X(kBF16, kBF16, kF32)        \
  X(kF32, kF32, kF16)          \
  X(kF32, kF32, kBF16)

namespace wisemerge::cuda {

// One tensor range, all pointers in device memory and aligned to their element at least.
struct LerpSegment {
  const void* x;
  const void* y;
  void* out;             // output of alphas[0]
  uint64_t out_stride;   // bytes from one alpha's output to the next; a multiple of the element's size
  uint64_t count;        // elements, not 0
  const double* alphas;  // [alpha_count]
  uint64_t* non_finite;  // [alpha_count], added to
  uint32_t alpha_count;
  uint32_t first_tile;  // tiles of the segments before this one
  DType x_dtype, y_dtype, out_dtype;
};

inline constexpr uint32_t kLerpThreads = 256;
// Packs per thread and tile, loaded before the first use: 64 bytes in flight per thread cover the latency.
inline constexpr uint32_t kLerpPacks = 2;

template <DType X, DType Y, DType Out>
inline constexpr uint32_t kLerpTileElements = kLerpThreads* kLerpPacks* LerpPack<X, Y, Out>::kElements;

template <DType X, DType Y, DType Out>
WM_HD void lerp_edge_element(const LerpSegment& segment, uint64_t i) {
  const auto x = static_cast<const typename Element<X>::Bits*>(segment.x)[i];
  const auto y = static_cast<const typename Element<Y>::Bits*>(segment.y)[i];
  for (uint32_t k = 0; k < segment.alpha_count; k++) {
    const auto value = lerp_element<X, Y, Out>(x, y, segment.alphas[k]);
    auto* out = reinterpret_cast<typename Element<Out>::Bits*>(static_cast<char*>(segment.out) +
                                                               k * segment.out_stride);
    out[i] = value;
    if (Element<Out>::non_finite(value)) atomic_add(&segment.non_finite[k], 1);
  }
}

template <DType X, DType Y, DType Out>
WM_HD void lerp_tile(const GridPosition& at, const LerpSegment& segment, uint32_t tile) {
  using Lerp = LerpPack<X, Y, Out>;
  constexpr uint32_t kElements = Lerp::kElements;
  using XBits = typename Element<X>::Bits;
  using YBits = typename Element<Y>::Bits;
  using OutBits = typename Element<Out>::Bits;

  // Packs start at x's first pack boundary. A stream that is out of step with x falls back to single
  // elements.
  uint64_t head = elements_to_boundary<kElements>(static_cast<const XBits*>(segment.x));
  if (head > segment.count) head = segment.count;
  const uint64_t packs = (segment.count - head) / kElements;
  if (tile == 0) {
    const uint64_t tail = head + packs * kElements;
    if (at.thread < head) lerp_edge_element<X, Y, Out>(segment, at.thread);
    if (at.thread < segment.count - tail) lerp_edge_element<X, Y, Out>(segment, tail + at.thread);
  }

  const XBits* x = static_cast<const XBits*>(segment.x) + head;
  const YBits* y = static_cast<const YBits*>(segment.y) + head;
  const bool y_aligned = pack_aligned<kElements>(y);
  const uint64_t first = static_cast<uint64_t>(tile) * kLerpPacks * at.threads + at.thread;

  Pack<XBits, kElements> x_packs[kLerpPacks] = {};
  Pack<YBits, kElements> y_packs[kLerpPacks] = {};
  WM_UNROLL
  for (uint32_t p = 0; p < kLerpPacks; p++) {
    const uint64_t pack = first + p * at.threads;
    if (pack >= packs) continue;
    x_packs[p] = load_aligned<kElements>(x + pack * kElements);
    y_packs[p] = load_pack<kElements>(y + pack * kElements, y_aligned);
  }
  WM_UNROLL
  for (uint32_t p = 0; p < kLerpPacks; p++) {
    const uint64_t pack = first + p * at.threads;
    if (pack >= packs) continue;
    const Lerp lerp(x_packs[p], y_packs[p]);
    for (uint32_t k = 0; k < segment.alpha_count; k++) {
      uint32_t non_finite = 0;
      OutBits* out =
          reinterpret_cast<OutBits*>(static_cast<char*>(segment.out) + k * segment.out_stride) + head;
      store_pack<kElements>(out + pack * kElements, lerp.at(segment.alphas[k], non_finite),
                            pack_aligned<kElements>(out));
      if (non_finite) atomic_add(&segment.non_finite[k], non_finite);
    }
  }
}

// at.threads == kLerpThreads; any grid. `tile_count` is the tiles of all segments, each of which has
// ceil(count / kLerpTileElements) of them.
template <DType X, DType Y, DType Out>
WM_HD void lerp_body(const GridPosition& at, const LerpSegment* segments, uint32_t segment_count,
                     uint32_t tile_count) {
  for (uint32_t tile = at.block; tile < tile_count; tile += at.blocks) {
    const LerpSegment& segment = find_segment(segments, segment_count, tile, &LerpSegment::first_tile);
    lerp_tile<X, Y, Out>(at, segment, tile - segment.first_tile);
  }
}

}  // namespace wisemerge::cuda

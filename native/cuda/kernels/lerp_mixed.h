// Interpolation of any dtype triple, dtypes read from the table: one kernel for f32 arithmetic and one for
// f64 stand for the triples that are too rare for a kernel of their own. One element per access, contiguous
// across a warp.
#pragma once

#include "cuda/kernels/lerp.h"

namespace wisemerge::cuda {

// X(dtype) for every dtype that is interpolated.
#define WM_FLOAT_DTYPES(X) X(kF8E5M2) X(kF8E4M3) X(kF16) X(kBF16) X(kF32) X(kF64)

inline constexpr uint32_t kMixedElements = 4;  // per thread and tile
inline constexpr uint32_t kMixedTileElements = kLerpThreads * kMixedElements;

template <class Wide>
WM_HD Wide load_wide(DType dtype, const void* from, uint64_t i) {
  switch (dtype) {
#define X(D)                                                                         \
  case DType::D: {                                                                   \
    const auto bits = static_cast<const typename Element<DType::D>::Bits*>(from)[i]; \
    if constexpr (sizeof(Wide) == 8) {                                               \
      return Element<DType::D>::load64(bits);                                        \
    } else {                                                                         \
      return Element<DType::D>::load32(bits);                                        \
    }                                                                                \
  }
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      return 0;
  }
}

// Returns whether the stored value is NaN or infinite.
template <class Wide>
WM_HD bool store_wide(DType dtype, void* to, uint64_t i, Wide value) {
  switch (dtype) {
#define X(D)                                                      \
  case DType::D: {                                                \
    typename Element<DType::D>::Bits bits;                        \
    if constexpr (sizeof(Wide) == 8) {                            \
      bits = Element<DType::D>::store64(value);                   \
    } else {                                                      \
      bits = Element<DType::D>::store32(value);                   \
    }                                                             \
    static_cast<typename Element<DType::D>::Bits*>(to)[i] = bits; \
    return Element<DType::D>::non_finite(bits);                   \
  }
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      return false;
  }
}

// Copies the stored bits, signalling NaN included.
WM_HD bool copy_bits(DType dtype, const void* from, void* to, uint64_t i) {
  switch (dtype) {
#define X(D)                                                                         \
  case DType::D: {                                                                   \
    const auto bits = static_cast<const typename Element<DType::D>::Bits*>(from)[i]; \
    static_cast<typename Element<DType::D>::Bits*>(to)[i] = bits;                    \
    return Element<DType::D>::non_finite(bits);                                      \
  }
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      return false;
  }
}

// cast_element with dtypes at run time.
WM_HD bool cast_wide(DType from_dtype, const void* from, DType to_dtype, void* to, uint64_t i) {
  if (from_dtype == to_dtype) return copy_bits(from_dtype, from, to, i);
  if (from_dtype == DType::kF64) return store_wide(to_dtype, to, i, load_wide<double>(from_dtype, from, i));
  return store_wide(to_dtype, to, i, load_wide<float>(from_dtype, from, i));
}

WM_HD float lerp_wide(float x, float y, double alpha) {
  return same_bits<uint32_t>(x, y) ? x : lerp_f32(x, y, static_cast<float>(alpha));
}
WM_HD double lerp_wide(double x, double y, double alpha) {
  return same_bits<uint64_t>(x, y) ? x : lerp_f64(x, y, alpha);
}

// Wide is double exactly if x or y is F64 (for every segment of the launch). X == Y == Out is not for this
// body: there lerp_element copies equal inputs bit for bit, which widening does not for a signalling F16 NaN.
template <class Wide>
WM_HD void lerp_mixed_body(const GridPosition& at, const LerpSegment* segments, uint32_t segment_count,
                           uint32_t tile_count) {
  for (uint32_t tile = at.block; tile < tile_count; tile += at.blocks) {
    const LerpSegment& segment = find_segment(segments, segment_count, tile, &LerpSegment::first_tile);
    const uint64_t first =
        static_cast<uint64_t>(tile - segment.first_tile) * kMixedElements * at.threads + at.thread;
    for (uint32_t e = 0; e < kMixedElements; e++) {
      const uint64_t i = first + e * at.threads;
      if (i >= segment.count) break;
      const Wide x = load_wide<Wide>(segment.x_dtype, segment.x, i);
      const Wide y = load_wide<Wide>(segment.y_dtype, segment.y, i);
      for (uint32_t k = 0; k < segment.alpha_count; k++) {
        void* out = static_cast<char*>(segment.out) + k * segment.out_stride;
        const double alpha = segment.alphas[k];
        bool non_finite;
        if (alpha == 0.0) {
          non_finite = cast_wide(segment.x_dtype, segment.x, segment.out_dtype, out, i);
        } else if (alpha == 1.0) {
          non_finite = cast_wide(segment.y_dtype, segment.y, segment.out_dtype, out, i);
        } else {
          non_finite = store_wide(segment.out_dtype, out, i, lerp_wide(x, y, alpha));
        }
        if (non_finite) atomic_add(&segment.non_finite[k], 1);
      }
    }
  }
}

}  // namespace wisemerge::cuda

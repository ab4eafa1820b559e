// A group of lanes that work on one sample: each computes a part, the parts fold as a halving tree, and all
// lanes learn the result. Lanes of a warp on the device; on the host one thread computes all parts.
#pragma once

#include <cstring>

#include "cuda/kernels/grid.h"

namespace wisemerge::cuda {

#if defined(__CUDA_ARCH__)
// A value of whole 32-bit words from another lane of the group: the lane `step` above, or lane 0.
template <uint32_t Width, class T>
__device__ __forceinline__ T shuffle(const T& value, uint32_t step) {
  static_assert(sizeof(T) % sizeof(uint32_t) == 0);
  constexpr uint32_t kWords = sizeof(T) / sizeof(uint32_t);
  uint32_t words[kWords];
  memcpy(words, &value, sizeof(T));
  WM_UNROLL
  for (uint32_t i = 0; i < kWords; i++) {
    words[i] = step > 0 ? __shfl_down_sync(0xffffffffu, words[i], step, Width)
                        : __shfl_sync(0xffffffffu, words[i], 0, Width);
  }
  T other;
  memcpy(&other, words, sizeof(T));
  return other;
}
#endif

// Width divides the size of a warp, whose lanes all take part in every fold.
template <uint32_t Width>
struct Lanes {
  uint32_t own;  // this thread's lane; the host has no use for it

  // fold(...fold(of(0), of(Width / 2))...), the tree of lane[i] = fold(lane[i], lane[i + step]) for step =
  // Width / 2 to 1.
  template <class Of, class Fold>
  WM_HD auto reduce(Of of, Fold fold) const {
#if defined(__CUDA_ARCH__)
    auto value = of(own);
    WM_UNROLL
    for (uint32_t step = Width / 2; step > 0; step /= 2) value = fold(value, shuffle<Width>(value, step));
    return shuffle<Width>(value, 0);
#else
    decltype(of(0u)) values[Width];
    for (uint32_t lane = 0; lane < Width; lane++) values[lane] = of(lane);
    for (uint32_t step = Width / 2; step > 0; step /= 2) {
      for (uint32_t lane = 0; lane < step; lane++) values[lane] = fold(values[lane], values[lane + step]);
    }
    return values[0];
#endif
  }
};

}  // namespace wisemerge::cuda

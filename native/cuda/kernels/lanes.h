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
  uint32_t own;  // this thread's lane; on the host, lane 0 stands for all

  // Whether another thread stands for this one.
  WM_HD bool idle() const {
#if defined(__CUDA_ARCH__)
    return false;
#else
    return own != 0;
#endif
  }

  // What these lanes read from shared memory before this, one of them may write behind it.
  WM_HD void meet() const {
#if defined(__CUDA_ARCH__)
    __syncwarp();
#endif
  }

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

  // total + of(0) + of(1) + ... in f64, in ascending order.
  template <class Of>
  WM_HD double ordered_sum(Of of, double total = 0) const {
#if defined(__CUDA_ARCH__)
    const auto value = of(own);
    WM_UNROLL
    for (uint32_t lane = 0; lane < Width; lane++) {
      total += static_cast<double>(__shfl_sync(0xffffffffu, value, static_cast<int>(lane), Width));
    }
#else
    for (uint32_t lane = 0; lane < Width; lane++) total += static_cast<double>(of(lane));
#endif
    return total;
  }

  // body(lane) for every lane, each by its own thread.
  template <class Body>
  WM_HD void each(Body body) const {
#if defined(__CUDA_ARCH__)
    body(own);
#else
    for (uint32_t lane = 0; lane < Width; lane++) body(lane);
#endif
  }
};

}  // namespace wisemerge::cuda

// What a kernel body needs from the device, given explicitly so that the host can replay every thread.
//
// The bodies in this folder include no CUDA header and take raw pointers; the .cu files wrap them in thin
// __global__ functions, native/test/cuda_replay_test.cc loops over blocks and threads instead.
#pragma once

#include <cstdint>

#include "wisemerge/macros.h"

// Register arrays must be indexed by constants or they land in local memory.
#if defined(__CUDA_ARCH__)
#define WM_UNROLL _Pragma("unroll")
#else
#define WM_UNROLL
#endif

namespace wisemerge::cuda {

struct GridPosition {
  uint32_t block;    // blockIdx.x
  uint32_t blocks;   // gridDim.x
  uint32_t thread;   // threadIdx.x
  uint32_t threads;  // blockDim.x
};

// Integer, so that the order of threads does not show in the result.
WM_HD void atomic_add(uint64_t* into, uint64_t value) {
#if defined(__CUDA_ARCH__)
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t));
  atomicAdd(reinterpret_cast<unsigned long long*>(into), static_cast<unsigned long long>(value));
#else
  *into += value;
#endif
}

WM_HD void atomic_add(uint32_t* into, uint32_t value) {
#if defined(__CUDA_ARCH__)
  atomicAdd(into, value);
#else
  *into += value;
#endif
}
WM_HD void atomic_or(uint32_t* into, uint32_t bits) {
#if defined(__CUDA_ARCH__)
  atomicOr(into, bits);
#else
  *into |= bits;
#endif
}

// Many tensors share one launch: their units of work are numbered through, and each table entry knows the
// number of its first one. Returns the entry of `unit`; entries ascend by `first` and entry 0 starts at 0.
template <class Segment>
WM_HD const Segment& find_segment(const Segment* segments, uint32_t segment_count, uint32_t unit,
                                  uint32_t Segment::*first) {
  uint32_t low = 0, high = segment_count;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    if (segments[middle].*first <= unit) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return segments[low];
}

}  // namespace wisemerge::cuda

// The logits of both ends of a path for a chunk of samples, and how a group of lanes goes through a row.
#pragma once

#include "cuda/kernels/lanes.h"
#include "wisemerge/convert.h"

namespace wisemerge::cuda {

// Device memory. Row i of either end begins `stride` floats after row i - 1.
struct HeadLogits {
  const float *z0, *z1;
  const int32_t* labels;
  uint64_t stride;
  uint32_t rows, classes;
};

// Lane c % kClassLanes adds up class c, and rows are padded to whole groups with classes that never win: the
// order of the CPU's sums.
inline constexpr uint32_t kClassLanes = 16;
using ClassLanes = Lanes<kClassLanes>;

WM_HD uint32_t padded_classes(uint32_t classes) {
  return (classes + kClassLanes - 1) / kClassLanes * kClassLanes;
}

WM_HD float minus_infinity() { return bit_cast<float>(0xff800000u); }

inline constexpr uint32_t kHeadThreads = 256;

}  // namespace wisemerge::cuda

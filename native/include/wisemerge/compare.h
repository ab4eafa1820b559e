// Statistics of one pair of tensors, x (base) and y (fine-tuned), in one pass.
//
// The reduction order is part of the contract, so that a result depends on neither thread count, chunk size,
// SIMD width nor device:
// - a block is kCompareBlock consecutive elements; element e of a block belongs to lane e % kCompareLanes;
// - a lane accumulates its elements in ascending order in f64, with fma;
// - lanes fold as a halving tree: lane[i] += lane[i + s] for s = 16, 8, 4, 2, 1;
// - blocks of a span of kCompareSpan elements add up in ascending order; so do spans of a tensor (in the
//   caller, which receives one CompareSums per span).
// Elements where either side is NaN or infinite are counted and left out of the sums. A sum of F64 that
// overflows both ways is a NaN, whose payload no device promises.
#pragma once

#include <cmath>

#include "wisemerge/convert.h"

namespace wisemerge {

inline constexpr uint32_t kCompareLanes = 32;
inline constexpr uint32_t kCompareBlock = 4096;
inline constexpr uint32_t kCompareSpan = 1u << 18;

// Of a tensor of so many elements.
inline constexpr uint64_t spans_of(uint64_t elements) { return (elements + kCompareSpan - 1) / kCompareSpan; }

// Crosses the C ABI; ten 8-byte fields.
struct CompareSums {
  double xx = 0;           // sum x^2
  double yy = 0;           // sum y^2
  double xy = 0;           // sum x*y
  double dd = 0;           // sum (y - x)^2
  double max_abs = 0;      // max |y - x|
  uint64_t unchanged = 0;  // same bits (same value, where the dtypes differ)
  uint64_t x_nan = 0, x_inf = 0, y_nan = 0, y_inf = 0;
};

WM_HD void compare_add(CompareSums& into, const CompareSums& other) {
  into.xx += other.xx;
  into.yy += other.yy;
  into.xy += other.xy;
  into.dd += other.dd;
  into.max_abs = other.max_abs > into.max_abs ? other.max_abs : into.max_abs;
  into.unchanged += other.unchanged;
  into.x_nan += other.x_nan;
  into.x_inf += other.x_inf;
  into.y_nan += other.y_nan;
  into.y_inf += other.y_inf;
}

WM_HD bool is_inf(double value) { return value - value != 0 && value == value; }

template <DType X, DType Y>
WM_HD void compare_element(CompareSums& lane, typename Element<X>::Bits x_bits,
                           typename Element<Y>::Bits y_bits) {
  const double x = Element<X>::load64(x_bits), y = Element<Y>::load64(y_bits);
  if constexpr (X == Y) {
    lane.unchanged += x_bits == y_bits;
  } else {
    lane.unchanged += bit_cast<uint64_t>(x) == bit_cast<uint64_t>(y);
  }
  lane.x_nan += x != x;
  lane.y_nan += y != y;
  lane.x_inf += is_inf(x);
  lane.y_inf += is_inf(y);
  if (x - x != 0 || y - y != 0) return;
  const double d = y - x;
  lane.xx = fma(x, x, lane.xx);
  lane.yy = fma(y, y, lane.yy);
  lane.xy = fma(x, y, lane.xy);
  lane.dd = fma(d, d, lane.dd);
  const double magnitude = d < 0 ? -d : d;
  lane.max_abs = magnitude > lane.max_abs ? magnitude : lane.max_abs;
}

}  // namespace wisemerge

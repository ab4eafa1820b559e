// The part of a path on which a label wins, as an intersection of half-lines. With the margins over class c,
// m0 = z0[label] - z0[c] and m1 likewise, the label beats c where m0 + alpha (m1 - m0) is positive, or 0 and
// c is a higher class (reference: Och, "Minimum Error Rate Training", 2003, section 4, of which 0/1 accuracy
// is the simple case).
//
// The intersection has the same bits in whatever order the classes come, so that SIMD lanes and the threads
// of a device may each take some of them.
#pragma once

#include <cstdint>

#include "wisemerge/macros.h"

namespace wisemerge {

// lo to hi, without lo if bit 0 of `open` is set, without hi if bit 1 is.
struct Interval {
  double lo, hi;
  uint8_t open;
  WM_HD bool empty() const { return !(lo < hi || (lo == hi && open == 0)); }
};

WM_HD Interval empty_interval() { return {1, -1, 0}; }

// Intersects with the half-line of one class.
WM_HD void bound(Interval& interval, double m0, double m1, bool higher_class) {
  const double slope = m1 - m0;
  if (slope > 0 || slope < 0) {
    const double at = m0 / (m0 - m1) + 0.0;  // never -0, whose bits would tell the order of classes
    const uint8_t strict = higher_class ? 0 : 1;
    if (slope > 0) {
      if (at > interval.lo) {
        interval.lo = at;
        interval.open = static_cast<uint8_t>((interval.open & 2) | strict);
      } else if (at == interval.lo) {
        interval.open = static_cast<uint8_t>(interval.open | strict);
      }
    } else if (at < interval.hi) {
      interval.hi = at;
      interval.open = static_cast<uint8_t>((interval.open & 1) | strict << 1);
    } else if (at == interval.hi) {
      interval.open = static_cast<uint8_t>(interval.open | strict << 1);
    }
  } else if (!(slope == 0 && (m0 > 0 || (m0 == 0 && higher_class)))) {  // parallel, or not a number
    interval = empty_interval();
  }
}

// Of two intervals that began as the same one.
WM_HD Interval intersection(const Interval& a, const Interval& b) {
  const int at_lo = (a.lo >= b.lo ? a.open & 1 : 0) | (b.lo >= a.lo ? b.open & 1 : 0);
  const int at_hi = (a.hi <= b.hi ? a.open & 2 : 0) | (b.hi <= a.hi ? b.open & 2 : 0);
  return {a.lo >= b.lo ? a.lo : b.lo, a.hi <= b.hi ? a.hi : b.hi, static_cast<uint8_t>(at_lo | at_hi)};
}

// A margin in f32 anywhere on [from, to] is off by less than this share of |m0| + |m1|.
WM_HD float margin_allowance(double from, double to) {
  const float reach = 1 + static_cast<float>(from < 0 ? -from : from) + static_cast<float>(to < 0 ? -to : to);
  return reach * 0x1p-20f;
}

}  // namespace wisemerge

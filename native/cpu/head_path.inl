// Where on the path from z0 to z1 a sample's label wins. With the margins over class c, m0 = z0[label] -
// z0[c] and m1 likewise, the label beats c where m0 + alpha (m1 - m0) is positive, or 0 and c is a higher
// class: a half-line each, and their intersection is one interval (reference: Och, "Minimum Error Rate
// Training", 2003, section 4, of which 0/1 accuracy is the simple case).
//
// The bounds are computed in f64. Most classes bound nothing: margins at both ends of the interval so far,
// in f32 with an allowance for their rounding, tell so for 16 classes at once.

struct Interval {
  double lo, hi;
  uint8_t open;
  bool empty() const { return !(lo < hi || (lo == hi && open == 0)); }
};

inline void bound(Interval& interval, double m0, double m1, bool higher_class) {
  const double slope = m1 - m0;
  if (slope > 0 || slope < 0) {
    const double at = m0 / (m0 - m1);
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
    interval = {1, -1, 0};
  }
}

void head_path(const float* z0, const float* z1, size_t classes, int32_t label, double from, double to,
               double* lo, double* hi, uint8_t* open) {
  const float own0 = z0[label], own1 = z1[label];
  Interval interval = {from, to, 0};
  const auto exact = [&](size_t c) {
    if (c == static_cast<size_t>(label)) return;
    bound(interval, static_cast<double>(own0) - z0[c], static_cast<double>(own1) - z1[c],
          c > static_cast<size_t>(label));
  };
  // A margin in f32 is off by less than this share of |m0| + |m1|.
  const float reach = 1 + static_cast<float>(from < 0 ? -from : from) + static_cast<float>(to < 0 ? -to : to);
  const Vf allowance = broadcast<Vf>(reach * 0x1p-20f);
  const Vi magnitude = Vi{} + 0x7fffffff;
  size_t c = 0;
  for (; c + kGroup <= classes && !interval.empty(); c += kGroup) {
    const Vf at_lo = broadcast<Vf>(static_cast<float>(interval.lo));
    const Vf at_hi = broadcast<Vf>(static_cast<float>(interval.hi));
    uint32_t close = 0;
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vf m0 = broadcast<Vf>(own0) - load_floats(z0 + c + g * kLanes);
      const Vf m1 = broadcast<Vf>(own1) - load_floats(z1 + c + g * kLanes);
      const Vf slope = m1 - m0, low = fma(at_lo, slope, m0), high = fma(at_hi, slope, m0);
      const Vf sizes = reinterpret_cast<Vf>(reinterpret_cast<Vi>(m0) & magnitude) +
                       reinterpret_cast<Vf>(reinterpret_cast<Vi>(m1) & magnitude);
      const Vf slack = sizes * allowance;
      // True only where both are surely positive; a NaN is not.
      const Vi clear = reinterpret_cast<Vi>(low > slack) & reinterpret_cast<Vi>(high > slack);
      close |= lane_mask(~clear) << (g * kLanes);
    }
    for (; close != 0 && !interval.empty(); close &= close - 1) {
      exact(c + static_cast<size_t>(__builtin_ctz(close)));
    }
  }
  for (; c < classes && !interval.empty(); c++) exact(c);
  if (interval.empty()) interval = {1, -1, 0};
  *lo = interval.lo;
  *hi = interval.hi;
  *open = interval.open;
}

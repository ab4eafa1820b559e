// Where on the path from z0 to z1 a sample's label wins (wisemerge/interval.h).
//
// The bounds are computed in f64. Most classes bound nothing: margins at both ends of the interval so far,
// in f32 with an allowance for their rounding, tell so for 16 classes at once.

void head_path(const float* z0, const float* z1, size_t classes, int32_t label, double from, double to,
               double* lo, double* hi, uint8_t* open) {
  const float own0 = z0[label], own1 = z1[label];
  Interval interval = {from, to, 0};
  const auto exact = [&](size_t c) {
    if (c == static_cast<size_t>(label)) return;
    bound(interval, static_cast<double>(own0) - z0[c], static_cast<double>(own1) - z1[c],
          c > static_cast<size_t>(label));
  };
  const Vf allowance = broadcast<Vf>(margin_allowance(from, to));
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
  if (interval.empty()) interval = empty_interval();
  *lo = interval.lo;
  *hi = interval.hi;
  *open = interval.open;
}

// What the passes over a row of logits share: groups of 16 lanes at every SIMD level, so that sums have the
// same order and bits everywhere, and the exponential.

inline constexpr size_t kGroup = 16;
inline constexpr size_t kGroupVectors = kGroup / kLanes;

struct Group {
  Vf v[kGroupVectors];
};

WM_FORCE_INLINE size_t whole_groups(size_t count) { return (count + kGroup - 1) / kGroup * kGroup; }

WM_FORCE_INLINE float total(const Group& group) {
  float lanes[kGroup];
  __builtin_memcpy(lanes, &group, sizeof(lanes));
  for (size_t width = kGroup / 2; width > 0; width /= 2) {
    for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

WM_FORCE_INLINE float fma_one(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

WM_FORCE_INLINE Vf larger(Vf a, Vf b) { return a > b ? a : b; }

WM_FORCE_INLINE float maximum(const Group& group) {
  float lanes[kGroup];
  __builtin_memcpy(lanes, &group, sizeof(lanes));
  float max = lanes[0];
  for (size_t i = 1; i < kGroup; i++) max = lanes[i] > max ? lanes[i] : max;
  return max;
}

// e^x for x <= 0, within 2 units in the last place; 0 where the result would be subnormal. x = n ln 2 + r
// with |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7, whose error is below 2^-26 there.
WM_FORCE_INLINE Vf exp_nonpositive(Vf x) {
  const Vf magic = broadcast<Vf>(0x1.8p23f);  // adding it rounds to a whole number
  const Vf inside = larger(x, broadcast<Vf>(-87.0f));
  const Vf shifted = fma(inside, broadcast<Vf>(0x1.715476p+0f), magic);
  const Vf n = shifted - magic;
  Vf r = fma(n, broadcast<Vf>(-0x1.62e4p-1f), inside);  // ln 2 in two parts: n times the first is exact
  r = fma(n, broadcast<Vf>(-0x1.7f7d1cp-20f), r);
  Vf p = broadcast<Vf>(1.0f / 5040);
  p = fma(p, r, broadcast<Vf>(1.0f / 720));
  p = fma(p, r, broadcast<Vf>(1.0f / 120));
  p = fma(p, r, broadcast<Vf>(1.0f / 24));
  p = fma(p, r, broadcast<Vf>(1.0f / 6));
  p = fma(p, r, broadcast<Vf>(0.5f));
  p = fma(p, r, broadcast<Vf>(1.0f));
  p = fma(p, r, broadcast<Vf>(1.0f));
  const Vi exponent = (reinterpret_cast<Vi>(shifted) - reinterpret_cast<Vi>(magic)) << 23;
  const Vf result = reinterpret_cast<Vf>(reinterpret_cast<Vi>(p) + exponent);
  return x < broadcast<Vf>(-87.0f) ? broadcast<Vf>(0.0f) : result;
}

WM_FORCE_INLINE float exp_nonpositive(float x) {
  const Vf v = exp_nonpositive(broadcast<Vf>(x));
  float first;
  __builtin_memcpy(&first, &v, sizeof(first));
  return first;
}

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

// wisemerge/softmax.h's in vectors, with the same bits.
WM_FORCE_INLINE Vf exp_nonpositive(Vf x) {
  const Vf magic = broadcast<Vf>(0x1.8p23f);  // adding it rounds to a whole number
  const Vf inside = larger(x, broadcast<Vf>(-87.0f));
  const Vf shifted = fma(inside, broadcast<Vf>(0x1.715476p+0f), magic);
  const Vf n = shifted - magic;
  Vf r = fma(n, broadcast<Vf>(-0x1.62e4p-1f), inside);  // ln 2 in two parts: n times the first is exact
  r = fma(n, broadcast<Vf>(-0x1.7f7d1cp-20f), r);
  Vf p = broadcast<Vf>(0x1.6a243p-10f);
  p = fma(p, r, broadcast<Vf>(0x1.1239e4p-7f));
  p = fma(p, r, broadcast<Vf>(0x1.5558f2p-5f));
  p = fma(p, r, broadcast<Vf>(0x1.555492p-3f));
  p = fma(p, r, broadcast<Vf>(0x1.fffffcp-2f));
  p = fma(p, r, broadcast<Vf>(1.0f));
  p = fma(p, r, broadcast<Vf>(1.0f));
  const Vi exponent = (reinterpret_cast<Vi>(shifted) - reinterpret_cast<Vi>(magic)) << 23;
  return reinterpret_cast<Vf>(reinterpret_cast<Vi>(p) + exponent);
}

WM_FORCE_INLINE float exp_nonpositive(float x) {
  const Vf v = exp_nonpositive(broadcast<Vf>(x));
  float first;
  __builtin_memcpy(&first, &v, sizeof(first));
  return first;
}

// What the passes over a row of logits share: groups of 16 lanes at every SIMD level, so that sums have the
// same order and bits everywhere, and the exponential.

inline constexpr size_t kGroup = 16;
inline constexpr size_t kGroupVectors = kGroup / kLanes;

struct Group {
  Vf v[kGroupVectors];
};

WM_FORCE_INLINE size_t whole_groups(size_t count) { return (count + kGroup - 1) / kGroup * kGroup; }

typedef float F4 __attribute__((vector_size(16)));
typedef float F8 __attribute__((vector_size(32)));

// A halving tree: lane i takes in lane i + 8, then i + 4, i + 2, i + 1.
template <class Fold>
WM_FORCE_INLINE float folded(const Group& group, Fold fold) {
  F8 eights[2];
  __builtin_memcpy(eights, &group, sizeof(eights));
  const F8 eight = fold(eights[0], eights[1]);
  F4 fours[2];
  __builtin_memcpy(fours, &eight, sizeof(fours));
  const F4 four = fold(fours[0], fours[1]);
  return fold(fold(four[0], four[2]), fold(four[1], four[3]));
}

WM_FORCE_INLINE float total(const Group& group) {
  return folded(group, [](auto a, auto b) { return a + b; });
}

WM_FORCE_INLINE float fma_one(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

WM_FORCE_INLINE float maximum(const Group& group) {
  return folded(group, [](auto a, auto b) { return a > b ? a : b; });
}

// wisemerge/softmax.h's in vectors, with the same bits.
WM_FORCE_INLINE Vf exp_nonpositive(Vf x) {
  const Vf magic = broadcast<Vf>(0x1.8p23f), inverse = broadcast<Vf>(0x1.715476p+0f);
  const Vf inside = larger(x, broadcast<Vf>(-87.0f));
  const Vf shifted = fma(inside, inverse, magic);
  const Vf f = fma(inside, inverse, magic - shifted);
  Vf p = broadcast<Vf>(0x1.41fba0p-13f);
  p = fma(p, f, broadcast<Vf>(0x1.5f3e80p-10f));
  p = fma(p, f, broadcast<Vf>(0x1.3b2d4ep-7f));
  p = fma(p, f, broadcast<Vf>(0x1.c6aee8p-5f));
  p = fma(p, f, broadcast<Vf>(0x1.ebfbdcp-3f));
  p = fma(p, f, broadcast<Vf>(0x1.62e430p-1f));
  p = fma(p, f, broadcast<Vf>(1.0f));
  const Vi exponent = reinterpret_cast<Vi>(shifted) << 23;
  return reinterpret_cast<Vf>(reinterpret_cast<Vi>(p) + exponent);
}

WM_FORCE_INLINE float exp_nonpositive(float x) {
  const Vf v = exp_nonpositive(broadcast<Vf>(x));
  float first;
  __builtin_memcpy(&first, &v, sizeof(first));
  return first;
}

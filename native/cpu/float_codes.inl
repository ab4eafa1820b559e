// The conversions of convert.h that no instruction does exactly, over vectors and without branches, in the
// compilers' generic vector arithmetic. Needs kLanes, Vu and Vf; included by each vec_*.h.

typedef int32_t Vi __attribute__((vector_size(4 * kLanes)));

WM_FORCE_INLINE Vu splat(uint32_t value) { return Vu{} + value; }
WM_FORCE_INLINE Vu select(Vu mask, Vu yes, Vu no) { return (mask & yes) | (~mask & no); }
// All ones where a > limit. Compares as signed, which x86 has: both sides are below 2^31.
WM_FORCE_INLINE Vu above(Vu a, uint32_t limit) {
  return reinterpret_cast<Vu>(reinterpret_cast<Vi>(a) > static_cast<int32_t>(limit));
}

// f32 bits rounded at bit 16; the upper half is the BF16 code. Wrong for a NaN with payload below bit 16.
WM_FORCE_INLINE Vu round_bf16(Vu bits) { return bits + 0x7fffu + ((bits >> 16) & 1u); }

WM_FORCE_INLINE Vf widen_bf16(Vu code) { return reinterpret_cast<Vf>(code << 16); }
WM_FORCE_INLINE Vu narrow_bf16(Vf v) {
  const Vu bits = reinterpret_cast<Vu>(v), top = bits >> 16;
  const Vu quiet = top | (~above(top & 0x7fu, 0) & 0x40u);
  return select(above(bits & 0x7fffffffu, 0x7f800000u), quiet, round_bf16(bits) >> 16);
}

// f32 bits of the finite magnitude code of a small float.
template <int MantissaBits, int Bias>
WM_FORCE_INLINE Vu widen_small(Vu magnitude) {
  const float unit = __builtin_ldexpf(1, 1 - Bias - MantissaBits);
  const Vf subnormal = __builtin_convertvector(reinterpret_cast<Vi>(magnitude), Vf) * unit;
  const Vu normal = (magnitude << (23 - MantissaBits)) + (static_cast<uint32_t>(127 - Bias) << 23);
  return select(above(magnitude, (1u << MantissaBits) - 1), normal, reinterpret_cast<Vu>(subnormal));
}

// detail::round_magnitude of convert.h.
template <int MantissaBits, int Bias>
WM_FORCE_INLINE Vu round_small(Vu magnitude) {
  constexpr uint32_t shift = 23 - MantissaBits;
  constexpr uint32_t smallest_normal = static_cast<uint32_t>(127 - Bias + 1) << 23;
  constexpr uint32_t magic = static_cast<uint32_t>(127 - Bias + 1 + 23 - MantissaBits) << 23;
  const Vu rebased = magnitude - (static_cast<uint32_t>(127 - Bias) << 23);
  const Vu normal = (rebased + ((1u << (shift - 1)) - 1u) + ((rebased >> shift) & 1u)) >> shift;
  const Vf sum = reinterpret_cast<Vf>(magnitude) + reinterpret_cast<Vf>(splat(magic));
  return select(above(magnitude, smallest_normal - 1), normal, reinterpret_cast<Vu>(sum) - magic);
}

WM_FORCE_INLINE Vf widen_f8e5m2(Vu code) {
  const Vu magnitude = code & 0x7fu;
  const Vu special = ((magnitude & 3u) << 21) | 0x7f800000u;
  const Vu bits = select(above(magnitude, 0x7bu), special, widen_small<2, 15>(magnitude));
  return reinterpret_cast<Vf>(bits | ((code & 0x80u) << 24));
}
WM_FORCE_INLINE Vu narrow_f8e5m2(Vf v) {
  const Vu bits = reinterpret_cast<Vu>(v), magnitude = bits & 0x7fffffffu, payload = (magnitude >> 21) & 3u;
  Vu code = select(above(magnitude, 0x477fffffu), splat(0x7cu), round_small<2, 15>(magnitude));
  const Vu nan = payload | 0x7cu | (~above(payload, 0) & 2u);
  code = select(above(magnitude, 0x7f800000u), nan, code);
  return code | ((bits >> 24) & 0x80u);
}

WM_FORCE_INLINE Vf widen_f8e4m3(Vu code) {
  const Vu magnitude = code & 0x7fu;
  const Vu bits = select(above(magnitude, 0x7eu), splat(0x7fc00000u), widen_small<3, 7>(magnitude));
  return reinterpret_cast<Vf>(bits | ((code & 0x80u) << 24));
}
WM_FORCE_INLINE Vu narrow_f8e4m3(Vf v) {
  const Vu bits = reinterpret_cast<Vu>(v), magnitude = bits & 0x7fffffffu;
  const Vu code = select(above(magnitude, 0x43e80000u), splat(0x7fu), round_small<3, 7>(magnitude));
  return code | ((bits >> 24) & 0x80u);
}

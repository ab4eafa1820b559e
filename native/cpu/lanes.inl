// Lanes of vectors where there are no instructions for them: what vec_base.h and vec_avx2.h share.

WM_FORCE_INLINE uint32_t equal_lanes(Vu a, Vu b) { return lane_mask(reinterpret_cast<Vi>(a == b)); }
WM_FORCE_INLINE Vu xor3(Vu a, Vu b, Vu c) { return a ^ b ^ c; }
template <class Code>
WM_FORCE_INLINE size_t store_lanes(Code* to, Vu v, uint32_t lanes) {
  uint32_t values[kLanes];
  __builtin_memcpy(values, &v, sizeof(values));
  size_t count = 0;
  for (; lanes; lanes &= lanes - 1) to[count++] = static_cast<Code>(values[__builtin_ctz(lanes)]);
  return count;
}
WM_FORCE_INLINE Line round_bf16_pairs(Vu even, Vu odd) {
  return reinterpret_cast<Line>(round_bf16(even) >> 16 | (round_bf16(odd) & 0xffff0000u));
}

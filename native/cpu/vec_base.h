// Vector primitives in the compilers' generic 16-byte vectors (SSE2 on x86-64, NEON on arm64), and the
// description of what every level provides:
//
//   kLanes              f32 lanes of a vector
//   kTileRows, kTileVectors
//                       accumulators of a matrix product, as vectors: with one row of vectors more and one
//                       element spread over a vector they fill the registers
//   Vf, Vd, Vu          vectors of f32, f64 and u32 of one size; Line: that many bytes of anything
//   load_line           unaligned; store_line: unaligned; stream_line: aligned, past the caches
//   larger              a > b ? a : b
//   fma                 a*b + c, rounded once
//   fma_exact_product   the same, for a*b that f64 holds exactly
//   keep_equal          v, but a where a and b have the same bits
//   canonical_nan       v, but the canonical quiet NaN where v is a NaN
//   hash_line           XXH3 on pairs of u64 lanes: sums + data with each pair swapped + low * high half of
//                       data ^ secret
//   scramble_line       (sums ^ sums >> 47 ^ secret) * 0x9E3779B1 in u64 lanes
//   multiply_even       64-bit products of the u32 lanes 0, 2, ..; what the odd ones hold does not matter
//   interleave64        of 64-bit lanes: a = a0 b0 a2 b2 .., b = a1 b1 a3 b3 ..
//   xor3                a ^ b ^ c
//   equal_lanes         bit i is set where lane i of a and b is equal
//   gather              from[index] in each lane
//   store_lanes         the lanes whose bits are set, one behind another, as u32 or cut to u16; returns their
//                       number. Up to a whole vector behind them may be overwritten
//   lane_mask           bit i is set where lane i of a comparison is true
//   any_non_finite16    whether a 16-bit code has all bits of `exponent` set; any_non_finite: f32, f64
//   unpack16, pack16    16-bit codes, in order, to and from the low halves of u32 lanes
//   round_bf16_pairs    f32 bits of two vectors, a lane of each in turn, rounded to the upper 16 (round_bf16)
//   widen_f16, narrow_f16, to_doubles: in order; conversions as convert.h has them
//
// Included inside the namespace of kernels_base.cc.

inline constexpr size_t kLanes = 4;
typedef uint32_t Vu __attribute__((vector_size(4 * kLanes)));

typedef float Vf __attribute__((vector_size(16)));
typedef double Vd __attribute__((vector_size(16)));
typedef uint16_t Line __attribute__((vector_size(16)));

typedef int64_t Vl __attribute__((vector_size(16)));
typedef float HalfVf __attribute__((vector_size(8)));
typedef uint16_t HalfLine __attribute__((vector_size(8)));
typedef uint8_t QuarterLine __attribute__((vector_size(4)));

inline constexpr size_t kTileRows = 4, kTileVectors = 2;

#include "cpu/float_codes.inl"

#if defined(__SSE2__)
WM_FORCE_INLINE uint32_t lane_mask(Vi mask) {
  return static_cast<uint32_t>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
}
#else
WM_FORCE_INLINE uint32_t lane_mask(Vi mask) {
  const Vu bits = reinterpret_cast<Vu>(mask) & Vu{1, 2, 4, 8};
  return bits[0] | bits[1] | bits[2] | bits[3];
}
#endif

template <class Vector>
WM_FORCE_INLINE Vector load_vector(const void* from) {
  Vector v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
template <class Half, class Whole>
WM_FORCE_INLINE void split(Whole v, Half& lo, Half& hi) {
  __builtin_memcpy(&lo, &v, sizeof(lo));
  __builtin_memcpy(&hi, reinterpret_cast<const char*>(&v) + sizeof(lo), sizeof(hi));
}
template <class Whole, class Half>
WM_FORCE_INLINE Whole join(Half lo, Half hi) {
  Whole v;
  __builtin_memcpy(&v, &lo, sizeof(lo));
  __builtin_memcpy(reinterpret_cast<char*>(&v) + sizeof(lo), &hi, sizeof(hi));
  return v;
}
template <class Mask, class Vector>
WM_FORCE_INLINE Vector blend(Mask mask, Vector yes, Vector no) {
  return reinterpret_cast<Vector>((mask & reinterpret_cast<Mask>(yes)) |
                                  (~mask & reinterpret_cast<Mask>(no)));
}
template <class Mask>
WM_FORCE_INLINE bool any(Mask mask) {
  uint64_t lo, hi;
  split(mask, lo, hi);
  return (lo | hi) != 0;
}

WM_FORCE_INLINE Line load_line(const void* from) { return load_vector<Line>(from); }
WM_FORCE_INLINE void store_line(void* to, Line line) { __builtin_memcpy(to, &line, sizeof(line)); }
WM_FORCE_INLINE Line hash_line(Line sums, Line data, Line secret) {
  typedef uint64_t Vq __attribute__((vector_size(16)));
  const Vq words = (Vq)data, key = words ^ (Vq)secret;
  const Vq swapped = {words[1], words[0]};
  return (Line)((Vq)sums + (key & 0xffffffffu) * (key >> 32) + swapped);
}
WM_FORCE_INLINE Line scramble_line(Line sums, Line secret) {
  typedef uint64_t Vq __attribute__((vector_size(16)));
  const Vq words = (Vq)sums;
  return (Line)((words ^ (words >> 47) ^ (Vq)secret) * 0x9E3779B1u);
}
#if defined(__SSE2__)
WM_FORCE_INLINE void stream_line(void* to, Line line) {
  _mm_stream_si128(static_cast<__m128i*>(to), reinterpret_cast<__m128i>(line));
}
WM_FORCE_INLINE void stream_fence() { _mm_sfence(); }
#else
WM_FORCE_INLINE void stream_line(void* to, Line line) { store_line(to, line); }
WM_FORCE_INLINE void stream_fence() {}
#endif

#if defined(__SSE2__)
WM_FORCE_INLINE Vu multiply_even(Vu a, Vu b) {
  return reinterpret_cast<Vu>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}
#else
WM_FORCE_INLINE Vu multiply_even(Vu a, Vu b) {
  typedef uint64_t Vq __attribute__((vector_size(16)));
  return reinterpret_cast<Vu>((reinterpret_cast<Vq>(a) & 0xffffffffu) *
                              (reinterpret_cast<Vq>(b) & 0xffffffffu));
}
#endif
WM_FORCE_INLINE void interleave64(Vu& a, Vu& b) {
  const Vu x = a, y = b;
  a = Vu{x[0], x[1], y[0], y[1]};
  b = Vu{x[2], x[3], y[2], y[3]};
}

#include "cpu/lanes.inl"

WM_FORCE_INLINE Vu gather(const uint32_t* from, Vu index) {
  return Vu{from[index[0]], from[index[1]], from[index[2]], from[index[3]]};
}

#if defined(__SSE2__)
WM_FORCE_INLINE void to_doubles(Vf v, Vd& lo, Vd& hi) {
  lo = _mm_cvtps_pd(v);
  hi = _mm_cvtps_pd(_mm_movehl_ps(v, v));
}
WM_FORCE_INLINE Vf to_floats(Vd lo, Vd hi) { return _mm_movelh_ps(_mm_cvtpd_ps(lo), _mm_cvtpd_ps(hi)); }
#else
WM_FORCE_INLINE void to_doubles(Vf v, Vd& lo, Vd& hi) {
  HalfVf a, b;
  split(v, a, b);
  lo = __builtin_convertvector(a, Vd);
  hi = __builtin_convertvector(b, Vd);
}
WM_FORCE_INLINE Vf to_floats(Vd lo, Vd hi) {
  return join<Vf>(__builtin_convertvector(lo, HalfVf), __builtin_convertvector(hi, HalfVf));
}
#endif

WM_FORCE_INLINE Vd fma(Vd a, Vd b, Vd c) {
  return Vd{__builtin_fma(a[0], b[0], c[0]), __builtin_fma(a[1], b[1], c[1])};
}
WM_FORCE_INLINE Vd fma_exact_product(Vd a, Vd b, Vd c) { return a * b + c; }

#if defined(__FP_FAST_FMAF) || defined(__aarch64__)
WM_FORCE_INLINE Vf fma(Vf a, Vf b, Vf c) {
  Vf r;
  for (size_t i = 0; i < kLanes; i++) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
}
#else
// Without the instruction a call to fmaf() per element would cost ten times the rest. The product of two f32
// is exact in f64; the sum is rounded to odd (its error is known exactly: Knuth's TwoSum), so that rounding
// it again to f32 equals one rounding of the exact value (Boldo and Melquiond, 2008).
WM_FORCE_INLINE Vd fma_to_odd(Vd a, Vd b, Vd c) {
  const Vd p = a * b;
  const Vd s = p + c;
  const Vd c_part = s - p;
  const Vd error = (p - (s - c_part)) + (c - c_part);
  const Vl bits = reinterpret_cast<Vl>(s);
  const Vl above = reinterpret_cast<Vl>(error > 0.0), below = reinterpret_cast<Vl>(error < 0.0);
  const Vl even = (bits & 1) - 1;                               // all ones where the last bit is 0
  const Vl outward = ~(reinterpret_cast<Vl>(s > 0.0) ^ above);  // the exact value is the longer one
  return reinterpret_cast<Vd>(bits + (((outward & 2) - 1) & (above | below) & even));
}
WM_FORCE_INLINE Vf fma(Vf a, Vf b, Vf c) {
  Vd a_lo, a_hi, b_lo, b_hi, c_lo, c_hi;
  to_doubles(a, a_lo, a_hi);
  to_doubles(b, b_lo, b_hi);
  to_doubles(c, c_lo, c_hi);
  return to_floats(fma_to_odd(a_lo, b_lo, c_lo), fma_to_odd(a_hi, b_hi, c_hi));
}
#endif

WM_FORCE_INLINE Vf larger(Vf a, Vf b) { return a > b ? a : b; }
WM_FORCE_INLINE Vd max_magnitude(Vd max, Vd v) {
  const Vd magnitude = reinterpret_cast<Vd>(reinterpret_cast<Vl>(v) & INT64_MAX);
  return blend(reinterpret_cast<Vl>(magnitude > max), magnitude, max);
}

WM_FORCE_INLINE Vf keep_equal(Vf a, Vf b, Vf v) {
  return blend(reinterpret_cast<Vu>(reinterpret_cast<Vu>(a) == reinterpret_cast<Vu>(b)), a, v);
}
WM_FORCE_INLINE Vd keep_equal(Vd a, Vd b, Vd v) {
  return blend(reinterpret_cast<Vl>(reinterpret_cast<Vl>(a) == reinterpret_cast<Vl>(b)), a, v);
}
WM_FORCE_INLINE Vf canonical_nan(Vf v) {
  return blend(reinterpret_cast<Vu>(v != v), reinterpret_cast<Vf>(Vu{} + 0x7fc00000u), v);
}
WM_FORCE_INLINE Vd canonical_nan(Vd v) {
  return blend(reinterpret_cast<Vl>(v != v), reinterpret_cast<Vd>(Vl{} + 0x7ff8000000000000), v);
}

WM_FORCE_INLINE bool any_non_finite16(Line v, uint16_t exponent) { return any((v & exponent) == exponent); }
WM_FORCE_INLINE bool any_non_finite(Vf a, Vf b) {
  const Vi e = Vi{} + 0x7f800000;
  return any(((reinterpret_cast<Vi>(a) & e) == e) | ((reinterpret_cast<Vi>(b) & e) == e));
}
WM_FORCE_INLINE bool any_non_finite(Vd a, Vd b) {
  const Vl e = Vl{} + 0x7ff0000000000000;
  return any(((reinterpret_cast<Vl>(a) & e) == e) | ((reinterpret_cast<Vl>(b) & e) == e));
}

#if defined(__SSE2__)
WM_FORCE_INLINE void unpack16(Line line, Vu& lo, Vu& hi) {
  const __m128i codes = reinterpret_cast<__m128i>(line), zero = _mm_setzero_si128();
  lo = reinterpret_cast<Vu>(_mm_unpacklo_epi16(codes, zero));
  hi = reinterpret_cast<Vu>(_mm_unpackhi_epi16(codes, zero));
}
WM_FORCE_INLINE Line pack16(Vu lo, Vu hi) {
  // The only pack that SSE2 has saturates as signed: sign-extended codes pass it unchanged.
  const Vi a = reinterpret_cast<Vi>(lo << 16) >> 16, b = reinterpret_cast<Vi>(hi << 16) >> 16;
  return reinterpret_cast<Line>(_mm_packs_epi32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}
#else
WM_FORCE_INLINE void unpack16(Line line, Vu& lo, Vu& hi) {
  HalfLine a, b;
  split(line, a, b);
  lo = __builtin_convertvector(a, Vu);
  hi = __builtin_convertvector(b, Vu);
}
WM_FORCE_INLINE Line pack16(Vu lo, Vu hi) {
  return join<Line>(__builtin_convertvector(lo, HalfLine), __builtin_convertvector(hi, HalfLine));
}
#endif
WM_FORCE_INLINE Vu load_u8(const uint8_t* from) {
  return __builtin_convertvector(load_vector<QuarterLine>(from), Vu);
}
WM_FORCE_INLINE void store_u8(uint8_t* to, Vu v) {
  const QuarterLine codes = __builtin_convertvector(v, QuarterLine);
  __builtin_memcpy(to, &codes, sizeof(codes));
}

WM_FORCE_INLINE Vf widen_f16(Vu code) {
  const Vi magnitude = reinterpret_cast<Vi>(code & 0x7fffu);
  const Vf subnormal = __builtin_convertvector(magnitude, Vf) * 0x1p-24f;
  const Vi normal = (magnitude << 13) + 0x38000000;
  const Vi special = (magnitude << 13) | 0x7f800000 | ((magnitude > 0x7c00) & 0x400000);
  Vi bits = blend(Vi(magnitude < 0x400), reinterpret_cast<Vi>(subnormal), normal);
  bits = blend(Vi(magnitude >= 0x7c00), special, bits);
  return reinterpret_cast<Vf>(reinterpret_cast<Vu>(bits) | ((code & 0x8000u) << 16));
}
WM_FORCE_INLINE void widen_f16(Line line, Vf& lo, Vf& hi) {
  Vu a, b;
  unpack16(line, a, b);
  lo = widen_f16(a);
  hi = widen_f16(b);
}
WM_FORCE_INLINE Vu narrow_f16(Vf v) {
  const Vu bits = reinterpret_cast<Vu>(v), magnitude = bits & 0x7fffffffu;
  Vu code = round_small<10, 15>(magnitude);
  code = select(above(magnitude, 0x477fffffu), Vu{} + 0x7c00u, code);
  code = select(above(magnitude, 0x7f800000u), ((magnitude >> 13) & 0x3ffu) | 0x7e00u, code);
  return code | ((bits >> 16) & 0x8000u);
}
WM_FORCE_INLINE Line narrow_f16(Vf lo, Vf hi) { return pack16(narrow_f16(lo), narrow_f16(hi)); }

// Vector primitives of AVX-512 (F, BW, DQ, VL: Skylake-X and later, Zen 4 and later). Included inside the
// namespace and target region of kernels_avx512.cc; vec_base.h documents what each function must do.

inline constexpr size_t kLanes = 16;
typedef uint32_t Vu __attribute__((vector_size(4 * kLanes)));

using Vf = __m512;
using Vd = __m512d;
using Line = __m512i;

inline constexpr size_t kTileRows = 8, kTileVectors = 3;

#include "cpu/float_codes.inl"

WM_FORCE_INLINE uint32_t lane_mask(Vi mask) { return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)); }

WM_FORCE_INLINE Line load_line(const void* from) { return _mm512_loadu_si512(from); }
WM_FORCE_INLINE void store_line(void* to, Line line) { _mm512_storeu_si512(to, line); }
WM_FORCE_INLINE void stream_line(void* to, Line line) {
  _mm512_stream_si512(static_cast<__m512i*>(to), line);
}
WM_FORCE_INLINE void stream_fence() { _mm_sfence(); }

WM_FORCE_INLINE Line hash_line(Line sums, Line data, Line secret) {
  const Line key = _mm512_xor_si512(data, secret);
  const Line product = _mm512_mul_epu32(key, _mm512_srli_epi64(key, 32));
  const Line swapped = _mm512_shuffle_epi32(data, _MM_PERM_BADC);
  return _mm512_add_epi64(sums, _mm512_add_epi64(product, swapped));
}

WM_FORCE_INLINE Line scramble_line(Line sums, Line secret) {
  const Line mixed = _mm512_xor_si512(_mm512_xor_si512(sums, _mm512_srli_epi64(sums, 47)), secret);
  const Line prime = _mm512_set1_epi64(0x9E3779B1);
  const Line high = _mm512_slli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(mixed, 32), prime), 32);
  return _mm512_add_epi64(_mm512_mul_epu32(mixed, prime), high);
}

WM_FORCE_INLINE Vu multiply_even(Vu a, Vu b) {
  return reinterpret_cast<Vu>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
WM_FORCE_INLINE void interleave64(Vu& a, Vu& b) {
  const __m512i x = reinterpret_cast<__m512i>(a), y = reinterpret_cast<__m512i>(b);
  a = reinterpret_cast<Vu>(_mm512_unpacklo_epi64(x, y));
  b = reinterpret_cast<Vu>(_mm512_unpackhi_epi64(x, y));
}

WM_FORCE_INLINE uint32_t equal_lanes(Vu a, Vu b) {
  return _mm512_cmpeq_epi32_mask(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
}
WM_FORCE_INLINE Vu gather(const uint32_t* from, Vu index) {
  return reinterpret_cast<Vu>(_mm512_i32gather_epi32(reinterpret_cast<__m512i>(index), from, 4));
}
WM_FORCE_INLINE Vu xor3(Vu a, Vu b, Vu c) {
  return reinterpret_cast<Vu>(_mm512_ternarylogic_epi32(
      reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b), reinterpret_cast<__m512i>(c), 0x96));
}
// Compressed in a register: doing it while storing is slow on some processors.
WM_FORCE_INLINE size_t store_lanes(uint32_t* to, Vu v, uint32_t lanes) {
  const __mmask16 mask = static_cast<__mmask16>(lanes);
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask, reinterpret_cast<__m512i>(v)));
  return static_cast<size_t>(__builtin_popcount(lanes));
}
WM_FORCE_INLINE size_t store_lanes(uint16_t* to, Vu v, uint32_t lanes) {
  const __mmask16 mask = static_cast<__mmask16>(lanes);
  const __m512i packed = _mm512_maskz_compress_epi32(mask, reinterpret_cast<__m512i>(v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(packed));
  return static_cast<size_t>(__builtin_popcount(lanes));
}

WM_FORCE_INLINE Vf larger(Vf a, Vf b) { return _mm512_max_ps(a, b); }
WM_FORCE_INLINE Vf fma(Vf a, Vf b, Vf c) { return _mm512_fmadd_ps(a, b, c); }
WM_FORCE_INLINE Vd fma(Vd a, Vd b, Vd c) { return _mm512_fmadd_pd(a, b, c); }
WM_FORCE_INLINE Vd fma_exact_product(Vd a, Vd b, Vd c) { return _mm512_fmadd_pd(a, b, c); }
WM_FORCE_INLINE Vd max_magnitude(Vd max, Vd v) { return _mm512_max_pd(_mm512_abs_pd(v), max); }

WM_FORCE_INLINE Vf keep_equal(Vf a, Vf b, Vf v) {
  return _mm512_mask_mov_ps(v, _mm512_cmpeq_epi32_mask(_mm512_castps_si512(a), _mm512_castps_si512(b)), a);
}
WM_FORCE_INLINE Vd keep_equal(Vd a, Vd b, Vd v) {
  return _mm512_mask_mov_pd(v, _mm512_cmpeq_epi64_mask(_mm512_castpd_si512(a), _mm512_castpd_si512(b)), a);
}
WM_FORCE_INLINE Vf canonical_nan(Vf v) {
  return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                            _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
}
WM_FORCE_INLINE Vd canonical_nan(Vd v) {
  return _mm512_mask_mov_pd(v, _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q),
                            _mm512_castsi512_pd(_mm512_set1_epi64(0x7ff8000000000000)));
}

WM_FORCE_INLINE bool any_non_finite16(Line v, uint16_t exponent) {
  const Line missing = _mm512_andnot_si512(v, _mm512_set1_epi16(static_cast<int16_t>(exponent)));
  return _mm512_testn_epi16_mask(missing, missing) != 0;
}
// 0x99: quiet NaN, +inf, -inf, signalling NaN.
WM_FORCE_INLINE bool any_non_finite(Vf a, Vf b) {
  return (_mm512_fpclass_ps_mask(a, 0x99) | _mm512_fpclass_ps_mask(b, 0x99)) != 0;
}
WM_FORCE_INLINE bool any_non_finite(Vd a, Vd b) {
  return (_mm512_fpclass_pd_mask(a, 0x99) | _mm512_fpclass_pd_mask(b, 0x99)) != 0;
}

WM_FORCE_INLINE void unpack16(Line line, Vu& lo, Vu& hi) {
  lo = reinterpret_cast<Vu>(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(line)));
  hi = reinterpret_cast<Vu>(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(line, 1)));
}
WM_FORCE_INLINE Line pack16(Vu lo, Vu hi) {
  const __m256i a = _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(lo));
  const __m256i b = _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(hi));
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}
// All codes at once, as 16-bit lanes: up where what is cut off, with the code's last bit stuck to it, is
// above half.
WM_FORCE_INLINE Line round_bf16_pairs(Vu even, Vu odd) {
  constexpr __mmask32 kOdd = 0xaaaaaaaa;
  const __m512i one = _mm512_set1_epi16(1), half = _mm512_set1_epi16(static_cast<int16_t>(0x8000));
  const __m512i lo = reinterpret_cast<__m512i>(even), hi = reinterpret_cast<__m512i>(odd);
  const __m512i code = _mm512_mask_blend_epi16(kOdd, _mm512_srli_epi32(lo, 16), hi);
  const __m512i rest = _mm512_mask_blend_epi16(kOdd, lo, _mm512_slli_epi32(hi, 16));
  const __m512i sticky = _mm512_ternarylogic_epi32(rest, code, one, 0xf8);  // rest | (code & one)
  return _mm512_mask_add_epi16(code, _mm512_cmpgt_epu16_mask(sticky, half), code, one);
}
WM_FORCE_INLINE Vu load_u8(const uint8_t* from) {
  return reinterpret_cast<Vu>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
WM_FORCE_INLINE void store_u8(uint8_t* to, Vu v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
}

WM_FORCE_INLINE void widen_f16(Line line, Vf& lo, Vf& hi) {
  lo = _mm512_cvtph_ps(_mm512_castsi512_si256(line));
  hi = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(line, 1));
}
WM_FORCE_INLINE Line narrow_f16(Vf lo, Vf hi) {
  const __m256i a = _mm512_cvtps_ph(lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256i b = _mm512_cvtps_ph(hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

WM_FORCE_INLINE void to_doubles(Vf v, Vd& lo, Vd& hi) {
  lo = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
  hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

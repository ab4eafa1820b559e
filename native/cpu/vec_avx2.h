// Vector primitives of AVX2 with FMA and F16C (Haswell and later, Zen and later). Included inside the
// namespace and target region of kernels_avx2.cc; vec_base.h documents what each function must do.

inline constexpr size_t kLanes = 8;
typedef uint32_t Vu __attribute__((vector_size(4 * kLanes)));

using Vf = __m256;
using Vd = __m256d;
using Line = __m256i;

inline constexpr size_t kTileRows = 6, kTileVectors = 2;

#include "cpu/float_codes.inl"

WM_FORCE_INLINE uint32_t lane_mask(Vi mask) {
  return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
}

WM_FORCE_INLINE Line load_line(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
WM_FORCE_INLINE void store_line(void* to, Line line) { _mm256_storeu_si256(static_cast<__m256i*>(to), line); }
WM_FORCE_INLINE void stream_line(void* to, Line line) {
  _mm256_stream_si256(static_cast<__m256i*>(to), line);
}
WM_FORCE_INLINE void stream_fence() { _mm_sfence(); }

WM_FORCE_INLINE Line hash_line(Line sums, Line data, Line secret) {
  const Line key = _mm256_xor_si256(data, secret);
  const Line product = _mm256_mul_epu32(key, _mm256_srli_epi64(key, 32));
  const Line swapped = _mm256_shuffle_epi32(data, _MM_SHUFFLE(1, 0, 3, 2));
  return _mm256_add_epi64(sums, _mm256_add_epi64(product, swapped));
}

WM_FORCE_INLINE Line scramble_line(Line sums, Line secret) {
  const Line mixed = _mm256_xor_si256(_mm256_xor_si256(sums, _mm256_srli_epi64(sums, 47)), secret);
  const Line prime = _mm256_set1_epi64x(0x9E3779B1);
  const Line high = _mm256_slli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(mixed, 32), prime), 32);
  return _mm256_add_epi64(_mm256_mul_epu32(mixed, prime), high);
}

WM_FORCE_INLINE Vu multiply_even(Vu a, Vu b) {
  return reinterpret_cast<Vu>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
WM_FORCE_INLINE void interleave64(Vu& a, Vu& b) {
  const __m256i x = reinterpret_cast<__m256i>(a), y = reinterpret_cast<__m256i>(b);
  a = reinterpret_cast<Vu>(_mm256_unpacklo_epi64(x, y));
  b = reinterpret_cast<Vu>(_mm256_unpackhi_epi64(x, y));
}

#include "cpu/lanes.inl"

WM_FORCE_INLINE Vu gather(const uint32_t* from, Vu index) {
  return reinterpret_cast<Vu>(
      _mm256_i32gather_epi32(reinterpret_cast<const int*>(from), reinterpret_cast<__m256i>(index), 4));
}

WM_FORCE_INLINE Vf larger(Vf a, Vf b) { return _mm256_max_ps(a, b); }
WM_FORCE_INLINE Vf fma(Vf a, Vf b, Vf c) { return _mm256_fmadd_ps(a, b, c); }
WM_FORCE_INLINE Vd fma(Vd a, Vd b, Vd c) { return _mm256_fmadd_pd(a, b, c); }
WM_FORCE_INLINE Vd fma_exact_product(Vd a, Vd b, Vd c) { return _mm256_fmadd_pd(a, b, c); }
WM_FORCE_INLINE Vd max_magnitude(Vd max, Vd v) {
  return _mm256_max_pd(_mm256_andnot_pd(_mm256_set1_pd(-0.0), v), max);
}

WM_FORCE_INLINE Vf keep_equal(Vf a, Vf b, Vf v) {
  const __m256i equal = _mm256_cmpeq_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b));
  return _mm256_blendv_ps(v, a, _mm256_castsi256_ps(equal));
}
WM_FORCE_INLINE Vd keep_equal(Vd a, Vd b, Vd v) {
  const __m256i equal = _mm256_cmpeq_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
  return _mm256_blendv_pd(v, a, _mm256_castsi256_pd(equal));
}
WM_FORCE_INLINE Vf canonical_nan(Vf v) {
  return _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)),
                          _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
WM_FORCE_INLINE Vd canonical_nan(Vd v) {
  return _mm256_blendv_pd(v, _mm256_castsi256_pd(_mm256_set1_epi64x(0x7ff8000000000000)),
                          _mm256_cmp_pd(v, v, _CMP_UNORD_Q));
}

WM_FORCE_INLINE bool any_non_finite16(Line v, uint16_t exponent) {
  const Line mask = _mm256_set1_epi16(static_cast<int16_t>(exponent));
  return _mm256_movemask_epi8(_mm256_cmpeq_epi16(_mm256_and_si256(v, mask), mask)) != 0;
}
WM_FORCE_INLINE bool any_non_finite(Vf a, Vf b) {
  const __m256i mask = _mm256_set1_epi32(0x7f800000);
  const __m256i in_a = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a), mask), mask);
  const __m256i in_b = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(b), mask), mask);
  return _mm256_movemask_epi8(_mm256_or_si256(in_a, in_b)) != 0;
}
WM_FORCE_INLINE bool any_non_finite(Vd a, Vd b) {
  const __m256i mask = _mm256_set1_epi64x(0x7ff0000000000000);
  const __m256i in_a = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_castpd_si256(a), mask), mask);
  const __m256i in_b = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_castpd_si256(b), mask), mask);
  return _mm256_movemask_epi8(_mm256_or_si256(in_a, in_b)) != 0;
}

WM_FORCE_INLINE void unpack16(Line line, Vu& lo, Vu& hi) {
  lo = reinterpret_cast<Vu>(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(line)));
  hi = reinterpret_cast<Vu>(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(line, 1)));
}
WM_FORCE_INLINE Line pack16(Vu lo, Vu hi) {
  // The pack works within 128-bit halves: the permutation puts the quarters back in order.
  const __m256i packed = _mm256_packus_epi32(reinterpret_cast<__m256i>(lo), reinterpret_cast<__m256i>(hi));
  return _mm256_permute4x64_epi64(packed, 0xd8);
}
WM_FORCE_INLINE Vu load_u8(const uint8_t* from) {
  return reinterpret_cast<Vu>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
WM_FORCE_INLINE void store_u8(uint8_t* to, Vu v) {
  const __m256i codes = reinterpret_cast<__m256i>(v);
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}

WM_FORCE_INLINE void widen_f16(Line line, Vf& lo, Vf& hi) {
  lo = _mm256_cvtph_ps(_mm256_castsi256_si128(line));
  hi = _mm256_cvtph_ps(_mm256_extracti128_si256(line, 1));
}
WM_FORCE_INLINE Line narrow_f16(Vf lo, Vf hi) {
  const __m128i a = _mm256_cvtps_ph(lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m128i b = _mm256_cvtps_ph(hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}

WM_FORCE_INLINE void to_doubles(Vf v, Vd& lo, Vd& hi) {
  lo = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
  hi = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

// What the kernels of screen.h share, for files compiled for AVX512: rounding to bf16, the comparison of
// screened logits with their bounds, exact chains. Included inside a target region and a namespace of its
// own.

constexpr size_t kLanes = 16, kVectors = kScreenColumns / kLanes;

// To nearest even in the upper half; a NaN may become anything.
WM_FORCE_INLINE __m512i rounded(__m512 v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
  const __mmask16 normal = _mm512_test_epi32_mask(up, _mm512_set1_epi32(0x7f800000));
  return _mm512_maskz_and_epi32(normal, up, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
}

struct Squares {
  __m512d lo, hi;
  WM_FORCE_INLINE void add(__m512 v) {
    const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    lo = _mm512_fmadd_pd(a, a, lo);
    hi = _mm512_fmadd_pd(b, b, hi);
  }
  WM_FORCE_INLINE void add_to(double* sums, __mmask16 lanes) const {
    const auto first = static_cast<__mmask8>(lanes), last = static_cast<__mmask8>(lanes >> 8);
    _mm512_mask_storeu_pd(sums, first, _mm512_add_pd(_mm512_maskz_loadu_pd(first, sums), lo));
    _mm512_mask_storeu_pd(sums + 8, last, _mm512_add_pd(_mm512_maskz_loadu_pd(last, sums + 8), hi));
  }
};

void narrow(const float* from, size_t depth, size_t width, uint32_t* words, double* sums) {
  for (size_t at = 0; at < width; at += kLanes) {
    const auto lanes = static_cast<__mmask16>(width - at < kLanes ? (1u << (width - at)) - 1 : 0xffffu);
    const Squares none = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    Squares given = none, kept = none, lost = none;
    for (size_t l = 0; l < depth; l += 2) {
      const __m512 a = _mm512_maskz_loadu_ps(lanes, from + l * width + at);
      const __m512 b =
          l + 1 < depth ? _mm512_maskz_loadu_ps(lanes, from + (l + 1) * width + at) : _mm512_setzero_ps();
      const __m512i a_bits = rounded(a), b_bits = rounded(b);
      given.add(a);
      given.add(b);
      kept.add(_mm512_castsi512_ps(a_bits));
      kept.add(_mm512_castsi512_ps(b_bits));
      lost.add(_mm512_sub_ps(a, _mm512_castsi512_ps(a_bits)));
      lost.add(_mm512_sub_ps(b, _mm512_castsi512_ps(b_bits)));
      _mm512_mask_storeu_epi32(words + l / 2 * width + at, lanes,
                               _mm512_or_si512(_mm512_srli_epi32(a_bits, 16), b_bits));
    }
    given.add_to(sums + at, lanes);
    kept.add_to(sums + width + at, lanes);
    lost.add_to(sums + 2 * width + at, lanes);
  }
}

// What `screen` does with its logits: z0 and z1 are [rows][kScreenColumns].
WM_FORCE_INLINE uint32_t decide(const float* z0s, const float* z1s, const ScreenPanel& panel, float allowance,
                                size_t rows, ScreenTile& tile) {
  const __m512 share = _mm512_set1_ps(allowance);
  uint32_t full = 0;
  for (size_t i = 0; i < rows; i++) {
    if (tile.lost[i]) continue;
    const __m512 own0 = _mm512_set1_ps(tile.own0[i]), own1 = _mm512_set1_ps(tile.own1[i]);
    const __m512 lo = _mm512_set1_ps(tile.lo[i]), hi = _mm512_set1_ps(tile.hi[i]);
    const __m512 by_norm = _mm512_set1_ps(tile.by_norm[i]), by_error = _mm512_set1_ps(tile.by_error[i]);
    const auto place = static_cast<uint32_t>(tile.label[i] - panel.first);
    const uint32_t others = panel.present & ~(place < kScreenColumns ? 1u << place : 0u);
    for (size_t g = 0; g < kVectors; g++) {
      const size_t at = g * kLanes;
      const __m512 z0 = _mm512_load_ps(z0s + i * kScreenColumns + at);
      const __m512 z1 = _mm512_load_ps(z1s + i * kScreenColumns + at);
      const __m512 m0 = _mm512_sub_ps(own0, z0), m1 = _mm512_sub_ps(own1, z1);
      const __m512 slope = _mm512_sub_ps(m1, m0);
      const __m512 low = _mm512_fmadd_ps(lo, slope, m0), high = _mm512_fmadd_ps(hi, slope, m0);
      const __m512 sizes = _mm512_add_ps(_mm512_abs_ps(m0), _mm512_abs_ps(m1));
      __m512 slack = _mm512_loadu_ps(panel.constant + at);
      slack = _mm512_fmadd_ps(by_error, _mm512_loadu_ps(panel.norm_error + at), slack);
      slack = _mm512_fmadd_ps(by_norm, _mm512_loadu_ps(panel.norm + at), slack);
      slack = _mm512_fmadd_ps(sizes, share, slack);
      // Both ordered: a NaN is neither clear nor lost.
      const uint32_t here = others >> at & 0xffffu;
      const uint32_t clear =
          _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(low, slack, _CMP_GT_OQ), high, slack, _CMP_GT_OQ);
      const uint32_t close = here & ~clear;
      if (close == 0) continue;
      const __m512 beaten = _mm512_sub_ps(_mm512_setzero_ps(), slack);
      const uint32_t lost =
          _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(low, beaten, _CMP_LT_OQ), high, beaten, _CMP_LT_OQ);
      if ((lost & here) != 0) {
        tile.lost[i] = 1;
        break;
      }
      const auto kept = static_cast<__mmask16>(close);
      const uint32_t count = tile.count[i];
      const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      const __m512i classes =
          _mm512_add_epi32(lanes, _mm512_set1_epi32(panel.first + static_cast<int32_t>(at)));
      _mm512_storeu_si512(tile.candidate[i] + count, _mm512_maskz_compress_epi32(kept, classes));
      _mm512_storeu_ps(tile.z0[i] + count, _mm512_maskz_compress_ps(kept, z0));
      _mm512_storeu_ps(tile.z1[i] + count, _mm512_maskz_compress_ps(kept, z1));
      tile.count[i] = count + static_cast<uint32_t>(__builtin_popcount(close));
    }
    if (!tile.lost[i] && tile.count[i] > kCandidates) full |= 1u << i;
  }
  return full;
}

void chains(const float* x0, const float* x1, const float* const* w, size_t depth, float* sums) {
  const float *const w0 = w[0], *const w1 = w[1], *const w2 = w[2], *const w3 = w[3];
  float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  for (size_t l = 0; l < depth; l++) {
    s0 = __builtin_fmaf(x0[l], w0[l], s0);
    s1 = __builtin_fmaf(x0[l], w1[l], s1);
    s2 = __builtin_fmaf(x1[l], w2[l], s2);
    s3 = __builtin_fmaf(x1[l], w3[l], s3);
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

// Screening with AVX512-BF16 (Cooper Lake, Sapphire Rapids, Zen 4 and later). As in kernels_avx512.cc, the
// target region is what lets this file use the instructions.
#include "cpu/screen.h"

#if defined(__x86_64__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 10)

#if !defined(__clang__)
// GCC 12 and 13 warn about their own intrinsics' undefined operands (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")
#endif

namespace wisemerge::cpu::avx512bf16 {

#include "cpu/screen_avx512.inl"

constexpr size_t kRows = 12;  // 24 sums and 2 vectors of weights fill the registers

WM_FORCE_INLINE void multiply(const uint32_t* x, const uint32_t* w, size_t pairs, const float* start,
                              float* out) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < kRows; i++) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; j++) sums[i][j] = _mm512_loadu_ps(start + j * kLanes);
  }
  for (size_t l = 0; l < pairs; l++, x += kRows, w += kScreenColumns) {
    __m512i row[kVectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; j++) row[j] = _mm512_loadu_si512(w + j * kLanes);
#pragma GCC unroll 16
    for (size_t i = 0; i < kRows; i++) {
      const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(x[i])));
#pragma GCC unroll 4
      for (size_t j = 0; j < kVectors; j++) {
        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], pair, reinterpret_cast<__m512bh>(row[j]));
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kRows; i++) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; j++) _mm512_store_ps(out + i * kScreenColumns + j * kLanes, sums[i][j]);
  }
}

uint32_t screen(const uint32_t* words, size_t pairs, const ScreenPanel& panel, float allowance, size_t rows,
                ScreenTile& tile) {
  alignas(64) float ends[2][kRows * kScreenColumns];
  multiply(words, panel.w0, pairs, panel.start0, ends[0]);
  multiply(words, panel.w1, pairs, panel.start1, ends[1]);
  return decide(ends[0], ends[1], panel, allowance, rows, tile);
}

void narrow_samples(const float* from, size_t depth, uint32_t* words, double* sums) {
  narrow(from, depth, kRows, words, sums);
}
void narrow_classes(const float* from, size_t depth, uint32_t* words, double* sums) {
  narrow(from, depth, kScreenColumns, words, sums);
}

}  // namespace wisemerge::cpu::avx512bf16

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#pragma GCC diagnostic pop
#endif

const wisemerge::cpu::ScreenKernels* wisemerge::cpu::avx512bf16_screen() {
  static constexpr ScreenKernels kernels = {
      "avx512bf16",       avx512bf16::kRows, 1, avx512bf16::narrow_samples, avx512bf16::narrow_classes,
      avx512bf16::screen, avx512bf16::chains};
  return &kernels;
}

#else

const wisemerge::cpu::ScreenKernels* wisemerge::cpu::avx512bf16_screen() { return nullptr; }

#endif

// Screening with AMX (Sapphire Rapids and later): 32 samples by 32 classes in four tiles of the matrix unit.
// As in kernels_avx512.cc, the target region is what lets this file use the instructions.
//
// The operation rounds to nearest, takes subnormal numbers as 0 and makes results below 2^-126 0. Of a step
// of 32 features it sums the products of even and of odd places in a chain each, then these two, then that to
// the result: a term passes no more operations than the bound of screen.h allows.
#include "cpu/screen.h"

#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)

#if !defined(__clang__)
// GCC 12 and 13 warn about their own intrinsics' undefined operands (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16,avx2,fma,f16c")
#endif

namespace wisemerge::cpu::amx {

#include "cpu/screen_avx512.inl"

constexpr size_t kRows = 32;       // samples
constexpr size_t kStep = 16;       // pairs of a tile
constexpr size_t kTile = 16 * 16;  // words or sums
constexpr size_t kTileBytes = 64;  // of a row

struct alignas(64) TileShapes {
  uint8_t palette, start, unused[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
constexpr TileShapes kShapes = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

// Words of samples are [pairs / kStep][kRows][kStep]: two tiles one after another. Sums go to
// out[kRows][kScreenColumns]; 0 to 3 are their tiles, 4 and 5 of samples, 6 and 7 of classes.
WM_FORCE_INLINE void multiply(const uint32_t* x, const uint32_t* w, size_t pairs, const float* start,
                              float* out) {
  constexpr size_t kOutBytes = kScreenColumns * sizeof(float), kPairBytes = kScreenColumns * sizeof(uint32_t);
  // A stride of 0 reads the biases into every row.
  _tile_loadd(0, start, 0);
  _tile_loadd(1, start + kLanes, 0);
  _tile_loadd(2, start, 0);
  _tile_loadd(3, start + kLanes, 0);
  for (size_t l = 0; l < pairs; l += kStep, x += kRows * kStep, w += kStep * kScreenColumns) {
    _tile_loadd(6, w, kPairBytes);
    _tile_loadd(7, w + kLanes, kPairBytes);
    _tile_loadd(4, x, kTileBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, x + kTile, kTileBytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out, kOutBytes);
  _tile_stored(1, out + kLanes, kOutBytes);
  _tile_stored(2, out + 16 * kScreenColumns, kOutBytes);
  _tile_stored(3, out + 16 * kScreenColumns + kLanes, kOutBytes);
}

uint32_t screen(const uint32_t* words, size_t pairs, const ScreenPanel& panel, float allowance, size_t rows,
                ScreenTile& tile) {
  alignas(64) float ends[2][kRows * kScreenColumns];
  _tile_loadconfig(&kShapes);
  multiply(words, panel.w0, pairs, panel.start0, ends[0]);
  multiply(words, panel.w1, pairs, panel.start1, ends[1]);
  // Tiles in use would be saved at every switch of threads.
  _tile_release();
  return decide(ends[0], ends[1], panel, allowance, rows, tile);
}

void narrow_samples(const float* from, size_t depth, uint32_t* words, double* sums) {
  for (size_t l = 0; l < depth; l += 2 * kStep, from += 2 * kStep * kRows, words += kRows * kStep) {
    const size_t here = depth - l < 2 * kStep ? depth - l : 2 * kStep;
    alignas(64) uint32_t by_pair[kStep][kRows] = {};
    narrow(from, here, kRows, by_pair[0], sums);
    for (size_t i = 0; i < kRows; i++) {
      for (size_t p = 0; p < kStep; p++) words[i * kStep + p] = by_pair[p][i];
    }
  }
}

void narrow_classes(const float* from, size_t depth, uint32_t* words, double* sums) {
  narrow(from, depth, kScreenColumns, words, sums);
  const size_t pairs = (depth + 1) / 2, whole = (pairs + kStep - 1) / kStep * kStep;
  __builtin_memset(words + pairs * kScreenColumns, 0, (whole - pairs) * kScreenColumns * sizeof(uint32_t));
}

}  // namespace wisemerge::cpu::amx

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#pragma GCC diagnostic pop
#endif

const wisemerge::cpu::ScreenKernels* wisemerge::cpu::amx_screen() {
  static constexpr ScreenKernels kernels = {
      "amx", amx::kRows, amx::kStep, amx::narrow_samples, amx::narrow_classes, amx::screen, amx::chains};
  return &kernels;
}

#else

const wisemerge::cpu::ScreenKernels* wisemerge::cpu::amx_screen() { return nullptr; }

#endif

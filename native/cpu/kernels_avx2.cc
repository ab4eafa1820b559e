// Kernels for AVX2. The build gives every file the same flags: the target region below is what lets this one
// use the instructions. Standard headers come before it, so that their inline functions stay plain.
#include <cstdint>
#include <type_traits>

#include "cpu/kernels.h"
#include "wisemerge/compare.h"
#include "wisemerge/lerp.h"
#include "wisemerge/merge.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace wisemerge::cpu::avx2 {
// clang-format off
#include "cpu/vec_avx2.h"
#include "cpu/kernels.inl"
// clang-format on
}  // namespace wisemerge::cpu::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const wisemerge::cpu::Kernels* wisemerge::cpu::avx2_kernels() {
  static constexpr Kernels kernels = WM_KERNELS("avx2", avx2);
  return &kernels;
}

#else

const wisemerge::cpu::Kernels* wisemerge::cpu::avx2_kernels() { return nullptr; }

#endif

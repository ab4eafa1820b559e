// Kernels for AVX512. The build gives every file the same flags: the target region below is what lets this
// one use the instructions. Standard headers come before it, so that their inline functions stay plain.
#include <cstdint>
#include <type_traits>

#include "cpu/kernels.h"
#include "wisemerge/compare.h"
#include "wisemerge/lerp.h"
#include "wisemerge/merge.h"

#if defined(__x86_64__)

#if !defined(__clang__)
// GCC 12 and 13 warn about their own intrinsics' undefined operands (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace wisemerge::cpu::avx512 {
// clang-format off
#include "cpu/vec_avx512.h"
#include "cpu/kernels.inl"
// clang-format on
}  // namespace wisemerge::cpu::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#pragma GCC diagnostic pop
#endif

const wisemerge::cpu::Kernels* wisemerge::cpu::avx512_kernels() {
  static constexpr Kernels kernels = WM_KERNELS("avx512", avx512);
  return &kernels;
}

#else

const wisemerge::cpu::Kernels* wisemerge::cpu::avx512_kernels() { return nullptr; }

#endif

// Kernels for the instruction set that the compiler targets anyway: SSE2 on x86-64, NEON on arm64.
#include <cstdint>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "cpu/kernels.h"
#include "wisemerge/compare.h"
#include "wisemerge/lerp.h"
#include "wisemerge/merge.h"

namespace wisemerge::cpu {
namespace baseline {
// clang-format off
#include "cpu/vec_base.h"
#include "cpu/kernels.inl"
// clang-format on
}  // namespace baseline

const Kernels* baseline_kernels() {
  static constexpr Kernels kernels = WM_KERNELS("baseline", baseline);
  return &kernels;
}

}  // namespace wisemerge::cpu

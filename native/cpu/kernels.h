// What one SIMD level offers to the backend. Each level is one translation unit that compiles kernels.inl for
// its instruction set inside a namespace of its own; dispatch.cc picks one at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wisemerge/backend.h"

#define WM_FORCE_INLINE inline __attribute__((always_inline))
#define WM_NO_INLINE __attribute__((noinline))
#define WM_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

namespace wisemerge::cpu {

inline constexpr uint32_t kMaxAlphas = 64;

struct Kernels {
  const char* isa;  // "baseline", "avx2", "avx512"

  // Elements [begin, end) of every output of `item`, at most kMaxAlphas; adds to non_finite[k], which belongs
  // to the caller's tile. `stream` writes past the caches: for outputs that nobody reads before they would be
  // evicted.
  void (*lerp)(const WmLerp& item, size_t begin, size_t end, bool stream, uint64_t* non_finite);

  // Fills sums[span] of `item`.
  void (*compare)(const WmCompare& item, size_t span);

  // Adds 64-byte stripes to the 8 lanes of XXH3; `secret` has 56 + 8 * stripes bytes.
  void (*xxh3_accumulate)(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t stripes);
  // Adds blocks of 16 stripes and scrambles after each; `secret` has 192 bytes.
  void (*xxh3_blocks)(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t blocks);
};

// Null when the build's architecture has no such level. Asking is safe on any CPU; calling a kernel is not.
const Kernels* baseline_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

// The best level that this CPU runs and that is not above `limit` (null: no limit). Null for an unknown name.
const Kernels* select_kernels(const char* limit);

// Model name of the CPU, NUL-terminated, cut to `size` bytes.
void cpu_name(char* name, size_t size);

}  // namespace wisemerge::cpu

// The two 16-bit floats through the conversion instructions of the device.
//
// The integer conversions of convert.h cost 3 to 10 instructions per element, which would bound a lerp of
// many alphas by arithmetic. The instructions agree with them on every finite value (round to nearest even,
// subnormals kept, overflow to infinity) and differ only in NaN payloads; callers send every result with an
// all-ones exponent back through the specification. On the host the specification itself stands in.
#pragma once

#include "cuda/kernels/grid.h"
#include "wisemerge/convert.h"

namespace wisemerge::cuda {

template <DType D>
struct Half;

template <>
struct Half<DType::kBF16> {
  // Exponent bits and their lowest bit, in both halves of a word.
  static constexpr uint32_t kExponents = 0x7f807f80u, kLowestBits = 0x00800080u;

  WM_HD static float widen(uint16_t bits) { return bf16_to_f32(bits); }

  // Both rounded to nearest even; `low` in the low half.
  WM_HD static uint32_t narrow(float low, float high) {
#if defined(__CUDA_ARCH__)
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return f32_to_bf16(low) | static_cast<uint32_t>(f32_to_bf16(high)) << 16;
#endif
  }
};

template <>
struct Half<DType::kF16> {
  static constexpr uint32_t kExponents = 0x7c007c00u, kLowestBits = 0x04000400u;

  WM_HD static float widen(uint16_t bits) {
#if defined(__CUDA_ARCH__)
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    return f16_to_f32(bits);
#endif
  }

  WM_HD static uint32_t narrow(float low, float high) {
#if defined(__CUDA_ARCH__)
    uint32_t word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return f32_to_f16(low) | static_cast<uint32_t>(f32_to_f16(high)) << 16;
#endif
  }
};

// Non-zero exactly if a half of `word` is NaN or infinite: adding the lowest exponent bit to an all-ones
// exponent carries into the (cleared) sign bit, and from nothing else.
template <DType D>
WM_HD uint32_t non_finite_halves(uint32_t word) {
  return ((word & Half<D>::kExponents) + Half<D>::kLowestBits) & 0x80008000u;
}

// All ones in each half where the two words agree.
WM_HD uint32_t equal_halves(uint32_t a, uint32_t b) {
  const uint32_t difference = a ^ b;
  return ((difference & 0x0000ffffu) ? 0u : 0x0000ffffu) | ((difference & 0xffff0000u) ? 0u : 0xffff0000u);
}

}  // namespace wisemerge::cuda

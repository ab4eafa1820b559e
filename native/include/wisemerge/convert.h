// Scalar conversions between storage bits and f32/f64: the specification that SIMD and CUDA code must equal
// bit for bit. Rounding is to nearest, ties to even, in integer arithmetic: hardware bf16 conversion flushes
// subnormals (VCVTNE2PS2BF16) and host and device intrinsics disagree on NaN payloads.
//
// NaN: widening keeps sign and payload (F16 becomes quiet, as F16C does); narrowing keeps sign and the upper
// payload bits, quiet for F16, and never turns a NaN into an infinity.
// Overflow rounds to infinity; F8_E4M3 has none and gives NaN (as the OCP FP8 "non-saturating" mode).
#pragma once

#include <cstdint>
#include <cstring>

#include "wisemerge/dtype.h"
#include "wisemerge/macros.h"

namespace wisemerge {

template <class To, class From>
WM_HD To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

WM_HD bool is_nan_bits(uint32_t f32_bits) { return (f32_bits & 0x7fffffffu) > 0x7f800000u; }

WM_HD float bf16_to_f32(uint16_t bits) { return bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

WM_HD uint16_t f32_to_bf16(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  if (is_nan_bits(bits)) {
    const uint32_t top = bits >> 16;
    return static_cast<uint16_t>((top & 0x7fu) ? top : (top | 0x40u));
  }
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

WM_HD float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  if (magnitude > 0x7c00u) return bit_cast<float>(sign | 0x7fc00000u | (magnitude << 13));
  if (magnitude == 0x7c00u) return bit_cast<float>(sign | 0x7f800000u);
  if (magnitude >= 0x0400u) return bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  // Subnormal: magnitude * 2^-24 is exact in f32.
  return bit_cast<float>(sign | bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
}

namespace detail {
// Rounds |value| to a small float with MantissaBits and the given exponent bias, to nearest even.
// Returns the magnitude's code, which may exceed the largest finite code: the caller treats overflow.
template <int MantissaBits, int Bias>
WM_HD uint32_t round_magnitude(uint32_t magnitude) {
  constexpr uint32_t shift = 23 - MantissaBits;
  constexpr uint32_t smallest_normal = static_cast<uint32_t>(127 - Bias + 1) << 23;
  if (magnitude >= smallest_normal) {
    const uint32_t rebased = magnitude - (static_cast<uint32_t>(127 - Bias) << 23);
    return (rebased + ((1u << (shift - 1)) - 1u) + ((rebased >> shift) & 1u)) >> shift;
  }
  // Subnormal: adding a power of two whose unit in the last place is the target's smallest subnormal lets
  // the f32 adder do the rounding.
  constexpr uint32_t magic = static_cast<uint32_t>(127 - Bias + 1 + 23 - MantissaBits) << 23;
  const float sum = bit_cast<float>(magnitude) + bit_cast<float>(magic);
  return bit_cast<uint32_t>(sum) - magic;
}
}  // namespace detail

WM_HD uint16_t f32_to_f16(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  const uint32_t code = magnitude >= 0x47800000u ? 0x7c00u : detail::round_magnitude<10, 15>(magnitude);
  return static_cast<uint16_t>(sign | code);
}

WM_HD float f8e5m2_to_f32(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80u) << 24;
  const uint32_t magnitude = bits & 0x7fu;
  if (magnitude > 0x7cu) return bit_cast<float>(sign | 0x7f800000u | ((magnitude & 3u) << 21));
  return bit_cast<float>(sign | bit_cast<uint32_t>(f16_to_f32(static_cast<uint16_t>(magnitude << 8))));
}

WM_HD uint8_t f32_to_f8e5m2(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    const uint32_t payload = (magnitude >> 21) & 3u;
    return static_cast<uint8_t>(sign | 0x7cu | (payload ? payload : 2u));
  }
  const uint32_t code = magnitude >= 0x47800000u ? 0x7cu : detail::round_magnitude<2, 15>(magnitude);
  return static_cast<uint8_t>(sign | code);
}

WM_HD float f8e4m3_to_f32(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80u) << 24;
  const uint32_t magnitude = bits & 0x7fu;
  if (magnitude == 0x7fu) return bit_cast<float>(sign | 0x7fc00000u);
  if (magnitude >= 0x08u) return bit_cast<float>(sign | ((magnitude << 20) + 0x3c000000u));
  return bit_cast<float>(sign | bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-9f));
}

WM_HD uint8_t f32_to_f8e4m3(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // 464 = 448 + half a unit: the tie rounds to even, which is 448; anything above has no finite code.
  const uint32_t code = magnitude > 0x43e80000u ? 0x7fu : detail::round_magnitude<3, 7>(magnitude);
  return static_cast<uint8_t>(sign | code);
}

// The f32/f64 pair. NaN is spelled out: the hardware conversions of x86 and CUDA give different payloads.
WM_HD double f32_to_f64(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  if (!is_nan_bits(bits)) return static_cast<double>(value);
  return bit_cast<double>((static_cast<uint64_t>(bits >> 31) << 63) | 0x7ff8000000000000ull |
                          (static_cast<uint64_t>(bits & 0x7fffffu) << 29));
}

WM_HD float f64_to_f32(double value) {
  if (value == value) return static_cast<float>(value);
  const uint64_t bits = bit_cast<uint64_t>(value);
  return bit_cast<float>((static_cast<uint32_t>(bits >> 63) << 31) | 0x7fc00000u |
                         static_cast<uint32_t>((bits >> 29) & 0x7fffffu));
}

// f64 -> f32 rounding to odd: a further rounding to a narrower type then equals one rounding of the f64
// value (Boldo and Melquiond, 2008). NaN stays NaN.
WM_HD float f64_to_f32_odd(double value) {
  const float nearest = f64_to_f32(value);
  const uint32_t bits = bit_cast<uint32_t>(nearest);
  if (is_nan_bits(bits) || static_cast<double>(nearest) == value) return nearest;
  const bool away = (nearest < 0 ? -static_cast<double>(nearest) : static_cast<double>(nearest)) >
                    (value < 0 ? -value : value);
  // Truncate toward zero, then set the last bit: the value was inexact.
  return bit_cast<float>((away ? bits - 1u : bits) | 1u);
}

// Storage type and conversions of each float dtype.
template <DType D>
struct Element;

template <>
struct Element<DType::kF64> {
  using Bits = uint64_t;
  WM_HD static double load64(Bits bits) { return bit_cast<double>(bits); }
  WM_HD static float load32(Bits bits) { return f64_to_f32(bit_cast<double>(bits)); }
  WM_HD static Bits store32(float value) { return bit_cast<uint64_t>(f32_to_f64(value)); }
  WM_HD static Bits store64(double value) { return bit_cast<uint64_t>(value); }
  WM_HD static bool non_finite(Bits bits) { return (bits & 0x7ff0000000000000ull) == 0x7ff0000000000000ull; }
};

template <>
struct Element<DType::kF32> {
  using Bits = uint32_t;
  WM_HD static double load64(Bits bits) { return f32_to_f64(bit_cast<float>(bits)); }
  WM_HD static float load32(Bits bits) { return bit_cast<float>(bits); }
  WM_HD static Bits store32(float value) { return bit_cast<uint32_t>(value); }
  WM_HD static Bits store64(double value) { return bit_cast<uint32_t>(f64_to_f32(value)); }
  WM_HD static bool non_finite(Bits bits) { return (bits & 0x7f800000u) == 0x7f800000u; }
};

// X(dtype, bits type, to f32, from f32, non-finite test on `bits`)
#define WM_NARROW_FLOATS(X)                                                  \
  X(kBF16, uint16_t, bf16_to_f32, f32_to_bf16, (bits & 0x7f80u) == 0x7f80u)  \
  X(kF16, uint16_t, f16_to_f32, f32_to_f16, (bits & 0x7c00u) == 0x7c00u)     \
  X(kF8E5M2, uint8_t, f8e5m2_to_f32, f32_to_f8e5m2, (bits & 0x7cu) == 0x7cu) \
  X(kF8E4M3, uint8_t, f8e4m3_to_f32, f32_to_f8e4m3, (bits & 0x7fu) == 0x7fu)

#define X(dtype, type, to_f32, from_f32, is_non_finite)                                 \
  template <>                                                                           \
  struct Element<DType::dtype> {                                                        \
    using Bits = type;                                                                  \
    WM_HD static double load64(Bits bits) { return f32_to_f64(to_f32(bits)); }          \
    WM_HD static float load32(Bits bits) { return to_f32(bits); }                       \
    WM_HD static Bits store32(float value) { return from_f32(value); }                  \
    WM_HD static Bits store64(double value) { return from_f32(f64_to_f32_odd(value)); } \
    WM_HD static bool non_finite(Bits bits) { return is_non_finite; }                   \
  };
WM_NARROW_FLOATS(X)
#undef X

}  // namespace wisemerge

// The two transcendental functions of a softmax, from IEEE operations alone: libraries differ in the last
// place, these do not. The SIMD levels have the exponential in vectors (cpu/softmax.inl), with the same bits.
#pragma once

#include <cmath>

#include "wisemerge/convert.h"

namespace wisemerge {

// e^x for x <= 0, with a relative error below 1.2e-7 (1 - x / 8), which is below 1.2e-7 absolutely; e^-87,
// which no sum with 1 in it notices, for all x below -87 and for NaN. e^x = 2^n 2^f with n = round(x / ln 2)
// and |f| <= 1/2; 2^f = 1 + f q(f) with the q of degree 5 whose largest relative error is smallest there:
// 2^-25.9 (Remez; coefficients rounded to f32). The error that grows with |x| is that of 1 / ln 2 as an f32.
// Up to x = 87 it is as good, relatively.
WM_HD float exp_nonpositive(float x) {
  constexpr float kMagic = 0x1.8p23f;  // adding it rounds to a whole number
  constexpr float kInverse = 0x1.715476p+0f;
  const float inside = x > -87.0f ? x : -87.0f;
  const float shifted = fmaf(inside, kInverse, kMagic);
  const float f = fmaf(inside, kInverse, -(shifted - kMagic));
  float p = 0x1.41fba0p-13f;
  p = fmaf(p, f, 0x1.5f3e80p-10f);
  p = fmaf(p, f, 0x1.3b2d4ep-7f);
  p = fmaf(p, f, 0x1.c6aee8p-5f);
  p = fmaf(p, f, 0x1.ebfbdcp-3f);
  p = fmaf(p, f, 0x1.62e430p-1f);
  p = fmaf(p, f, 1.0f);
  const uint32_t exponent = bit_cast<uint32_t>(shifted) << 23;  // none of kMagic's bits is left
  return bit_cast<float>(bit_cast<uint32_t>(p) + exponent);
}

// ln x for finite normal x > 0, within 2 units in the last place. x = 2^k (1 + f) with 1 + f in
// [sqrt(1/2), sqrt(2)); with s = f / (2 + f), ln(1 + f) = 2 artanh(s) = 2s + s R, R = 2/3 s^2 + 2/5 s^4 +
// ..., and 2s = f - s f. ln 2 is in two parts, the first times any k exact.
WM_HD double log_positive(double x) {
  const uint64_t bits = bit_cast<uint64_t>(x);
  // Carries into the exponent where the mantissa is above that of sqrt(2).
  const uint64_t shifted = bits + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  const double k = static_cast<double>(static_cast<int32_t>(shifted >> 52) - 1023);
  const double f = bit_cast<double>((shifted & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull) - 1.0;
  const double s = f / (2.0 + f), z = s * s;
  double r = 2.0 / 21;
  r = r * z + 2.0 / 19;
  r = r * z + 2.0 / 17;
  r = r * z + 2.0 / 15;
  r = r * z + 2.0 / 13;
  r = r * z + 2.0 / 11;
  r = r * z + 2.0 / 9;
  r = r * z + 2.0 / 7;
  r = r * z + 2.0 / 5;
  r = r * z + 2.0 / 3;
  r = r * z;
  return k * 0x1.62e42feep-1 - ((s * (f - r) - k * 0x1.a39ef35793c76p-33) - f);
}

}  // namespace wisemerge

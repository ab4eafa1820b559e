// The two transcendental functions of a softmax, from IEEE operations alone: libraries differ in the last
// place, these do not. The SIMD levels have the exponential in vectors (cpu/softmax.inl), with the same bits.
#pragma once

#include <cmath>

#include "wisemerge/convert.h"

namespace wisemerge {

// e^x for x <= 0, within 2 units in the last place; e^-87, which no sum with 1 in it notices, for all x below
// -87. x = n ln 2 + r with |r| <= ln 2 / 2, and e^r = 1 + r + r^2 q(r) with the q of degree 4 whose largest
// relative error is smallest there: 2^-27.9 (Remez; coefficients rounded to f32). NaN gives e^-87.
WM_HD float exp_nonpositive(float x) {
  constexpr float kMagic = 0x1.8p23f;  // adding it rounds to a whole number
  const float inside = x > -87.0f ? x : -87.0f;
  const float shifted = fmaf(inside, 0x1.715476p+0f, kMagic);
  const float n = shifted - kMagic;
  float r = fmaf(n, -0x1.62e4p-1f, inside);  // ln 2 in two parts: n times the first is exact
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6a243p-10f;
  p = fmaf(p, r, 0x1.1239e4p-7f);
  p = fmaf(p, r, 0x1.5558f2p-5f);
  p = fmaf(p, r, 0x1.555492p-3f);
  p = fmaf(p, r, 0x1.fffffcp-2f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  const uint32_t exponent = (bit_cast<uint32_t>(shifted) - bit_cast<uint32_t>(kMagic)) << 23;
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

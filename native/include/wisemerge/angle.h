// Sine and cosine of an angle, from IEEE operations alone: libraries differ in the last place, these do not.
#pragma once

#include "wisemerge/convert.h"

namespace wisemerge {

struct SineCosine {
  double sine, cosine;
};

// Within 2^-51 for |angle| <= 2^31, which are all positions of a token at any frequency up to 1; NaN beyond.
// angle = n pi / 2 + r with |r| <= pi / 4; pi / 2 is in four parts, the first three of 22 bits, whose
// products with n are exact. Both functions of r by their Taylor series, the first terms left out below
// 2^-54.
WM_HD SineCosine sine_cosine(float angle) {
  constexpr double kMagic = 0x1.8p52;  // adding it rounds to a whole number, which stands in the low bits
  const double x = static_cast<double>(angle);
  const double shifted = x * 0x1.45f306dc9c883p-1 + kMagic;
  const double n = shifted - kMagic;
  const double r =
      (((x - n * 0x1.921fb8p+0) + n * 0x1.5dde98p-23) - n * 0x1.846988p-48) - n * 0x1.8cc51701b839ap-72;
  const double z = r * r;
  double s = -1.0 / 1307674368000;
  s = s * z + 1.0 / 6227020800;
  s = s * z - 1.0 / 39916800;
  s = s * z + 1.0 / 362880;
  s = s * z - 1.0 / 5040;
  s = s * z + 1.0 / 120;
  s = s * z - 1.0 / 6;
  const double sine = r + r * (z * s);
  double c = 1.0 / 20922789888000;
  c = c * z - 1.0 / 87178291200;
  c = c * z + 1.0 / 479001600;
  c = c * z - 1.0 / 3628800;
  c = c * z + 1.0 / 40320;
  c = c * z - 1.0 / 720;
  c = c * z + 1.0 / 24;
  c = c * z - 0.5;
  const double cosine = 1.0 + z * c;
  const uint64_t turns = bit_cast<uint64_t>(shifted);
  const bool swapped = turns & 1;
  const double first = swapped ? cosine : sine, second = swapped ? sine : cosine;
  const bool inside = x >= -0x1p31 && x <= 0x1p31;
  const double nan = bit_cast<double>(0x7ff8000000000000ull);
  return {!inside ? nan : turns & 2 ? -first : first, !inside ? nan : (turns + 1) & 2 ? -second : second};
}

}  // namespace wisemerge

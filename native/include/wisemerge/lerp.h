// Interpolation of one element: theta(alpha) = theta0 + alpha * (theta1 - theta0)  (Wortsman et al., 2021,
// section 3), written with one fused multiply-add and rounded once to the output dtype.
//
// - F64 on either side computes in f64 with alpha as given; everything else in f32 with alpha rounded to f32.
// - alpha == 0 and alpha == 1 are exact copies (casts, if the dtype changes): x + 1*(y - x) is not always y.
// - Inputs of equal bits (after widening, where the dtypes differ) give that value at every alpha, infinities
//   and NaN included, so weights that fine-tuning did not touch stay byte-identical.
// - A NaN that interpolation makes has the canonical quiet bits 0x7fc00000, so that x86 and CUDA agree.
#pragma once

#include <cmath>

#include "wisemerge/convert.h"

namespace wisemerge {

WM_HD float lerp_f32(float x, float y, float alpha) {
  const float value = fmaf(alpha, y - x, x);
  return value == value ? value : bit_cast<float>(0x7fc00000u);
}

WM_HD double lerp_f64(double x, double y, double alpha) {
  const double value = fma(alpha, y - x, x);
  return value == value ? value : bit_cast<double>(0x7ff8000000000000ull);
}

template <class Bits, class Float>
WM_HD bool same_bits(Float a, Float b) {
  return bit_cast<Bits>(a) == bit_cast<Bits>(b);
}

template <DType From, DType To>
WM_HD typename Element<To>::Bits cast_element(typename Element<From>::Bits bits) {
  if constexpr (From == To) {
    return bits;
  } else if constexpr (From == DType::kF64) {
    return Element<To>::store64(Element<From>::load64(bits));
  } else {
    return Element<To>::store32(Element<From>::load32(bits));
  }
}

template <DType X, DType Y, DType Out>
WM_HD typename Element<Out>::Bits lerp_element(typename Element<X>::Bits x, typename Element<Y>::Bits y,
                                               double alpha) {
  if (alpha == 0.0) return cast_element<X, Out>(x);
  if (alpha == 1.0) return cast_element<Y, Out>(y);
  if constexpr (X == Y) {
    if (x == y) return cast_element<X, Out>(x);
  }
  if constexpr (X == DType::kF64 || Y == DType::kF64) {
    const double a = Element<X>::load64(x), b = Element<Y>::load64(y);
    return Element<Out>::store64(same_bits<uint64_t>(a, b) ? a : lerp_f64(a, b, alpha));
  } else {
    const float a = Element<X>::load32(x), b = Element<Y>::load32(y);
    return Element<Out>::store32(same_bits<uint32_t>(a, b) ? a : lerp_f32(a, b, static_cast<float>(alpha)));
  }
}

}  // namespace wisemerge

// The functions of a network, as scalar code without branches that the compiler turns into SIMD code. They
// use no library call, so that results depend on neither the C library nor the device.
#pragma once

#include <cstdint>

#include "wisemerge/convert.h"
#include "wisemerge/operations.h"

namespace wisemerge::network {

// e^x for x <= 0, within 2 units in the last place; below -87, where it leaves the normal range, e^-87. NaN
// stays NaN. x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7.
WM_HD float exp_nonpositive(float x) {
  x = x < -87.0f ? -87.0f : x;
  // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits of the sum.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  // ln 2 in two parts; n times the first is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float sum = 1.98412698e-4f;
  sum = sum * r + 1.38888889e-3f;
  sum = sum * r + 8.33333333e-3f;
  sum = sum * r + 4.16666667e-2f;
  sum = sum * r + 1.66666667e-1f;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  const uint32_t exponent = (bit_cast<uint32_t>(shifted) - 0x4b400000u + 127u) << 23;
  return sum * bit_cast<float>(exponent);
}

// The standard normal distribution at x: `below` = (1 + erf(x / sqrt 2)) / 2, within 1e-7 by Abramowitz and
// Stegun (1964), 7.1.26, and the density.
struct Normal {
  float below, density;
};
WM_HD Normal standard_normal(float x) {
  const float z = (x < 0.0f ? -x : x) * 0.707106781f;
  const float e = exp_nonpositive(-(z * z));
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float sum = 1.061405429f;
  sum = sum * t - 1.453152027f;
  sum = sum * t + 1.421413741f;
  sum = sum * t - 0.284496736f;
  sum = sum * t + 0.254829592f;
  const float tail = 0.5f * t * sum * e;
  return {x < 0.0f ? tail : 1.0f - tail, 0.398942280f * e};
}

// GELU (Hendrycks and Gimpel, 2016) with the error function, and its derivative.
WM_HD float gelu(float x) { return x * standard_normal(x).below; }
WM_HD float gelu_slope(float x) {
  const Normal normal = standard_normal(x);
  return normal.below + x * normal.density;
}

// 1 / (1 + e^-x).
WM_HD float sigmoid(float x) {
  const float e = exp_nonpositive(x < 0.0f ? x : -x);
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

inline constexpr float kQuickGeluSlope = 1.702f;

// x sigmoid(slope x): SiLU at slope 1, quick GELU (Hendrycks and Gimpel, 2016) at 1.702; and its derivative.
WM_HD float swish(float x, float slope) { return x * sigmoid(slope * x); }
WM_HD float swish_slope(float x, float slope) {
  const float s = sigmoid(slope * x);
  return s + slope * x * s * (1.0f - s);
}

// Near 0, where the quotient of exponentials cancels, by the polynomial of the Cephes library (tanhf.c).
WM_HD float hyperbolic_tangent(float x) {
  const float size = x < 0.0f ? -x : x;
  const float e = exp_nonpositive(-2.0f * size);
  const float far = (1.0f - e) / (1.0f + e);
  const float z = x * x;
  float sum = -5.70498872745e-3f;
  sum = sum * z + 2.06390887954e-2f;
  sum = sum * z - 5.37397155531e-2f;
  sum = sum * z + 1.33314422036e-1f;
  sum = sum * z - 3.33332819422e-1f;
  const float near = sum * z * x + x;
  return size < 0.625f ? near : x < 0.0f ? -far : far;
}

// The approximation of GELU by the hyperbolic tangent (Hendrycks and Gimpel, 2016), written by
// (1 + tanh u) / 2 = sigmoid(2 u); and its derivative.
WM_HD float gelu_tanh(float x) { return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x)); }
WM_HD float gelu_tanh_slope(float x) {
  const float s = sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
  return s + x * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * x * x);
}

// Written so that NaN passes.
WM_HD float relu(float x) { return x < 0.0f ? 0.0f : x; }

WM_HD float activation(Activation kind, float x) {
  switch (kind) {
    case Activation::kGelu:
      return gelu(x);
    case Activation::kRelu:
      return relu(x);
    case Activation::kQuickGelu:
      return swish(x, kQuickGeluSlope);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kSilu:
      return swish(x, 1.0f);
    case Activation::kTanh:
      return hyperbolic_tangent(x);
  }
  return x;
}

// dy times the derivative of the activation at x; ReLU'(0) = 0.
WM_HD float activation_gradient(Activation kind, float x, float dy) {
  switch (kind) {
    case Activation::kGelu:
      return dy * gelu_slope(x);
    case Activation::kRelu:
      return x > 0.0f ? dy : 0.0f;
    case Activation::kQuickGelu:
      return dy * swish_slope(x, kQuickGeluSlope);
    case Activation::kGeluTanh:
      return dy * gelu_tanh_slope(x);
    case Activation::kSilu:
      return dy * swish_slope(x, 1.0f);
    case Activation::kTanh: {
      const float tanh = hyperbolic_tangent(x);
      return dy * (1.0f - tanh * tanh);
    }
  }
  return dy;
}

}  // namespace wisemerge::network

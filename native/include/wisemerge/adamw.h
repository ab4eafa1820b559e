// AdamW and the norm of gradients as every device computes them.
#pragma once

#include <cmath>
#include <cstddef>

#include "wisemerge/backend_network.h"
#include "wisemerge/macros.h"

namespace wisemerge {

// The norm's squares are summed by blocks of so many numbers.
inline constexpr size_t kNormBlock = 32u << 10;

// `factors` by value in loops: a compiler cannot tell that no array holds them.
WM_HD void adamw_moments(const WmAdamW& factors, float gradient, float& first, float& second) {
  const float g = gradient * factors.scale;
  first = factors.beta1 * first + factors.rest1 * g;
  second = factors.beta2 * second + factors.rest2 * (g * g);
}

WM_HD float adamw_parameter(const WmAdamW& factors, float first, float second, float parameter) {
  return parameter * factors.keep -
         factors.size * (first / (sqrtf(second) * factors.correction + factors.epsilon));
}

}  // namespace wisemerge

// Normal deviates that are a function of a seed and a place, from IEEE operations alone: the same on every
// machine.
#pragma once

#include <cmath>
#include <cstdint>

#include "wisemerge/macros.h"
#include "wisemerge/philox.h"
#include "wisemerge/softmax.h"

namespace wisemerge {

// The z with P(Z < z) = (bits + 1/2) 2^-32 for a standard normal Z, within 1e-7 of itself (Wichura, 1988,
// "Algorithm AS 241", PPND7; its third branch is for probabilities below any of these). |z| < 6.4.
WM_HD double normal_quantile(uint32_t bits) {
  const double p = (static_cast<double>(bits) + 0.5) * 0x1p-32, q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (((59.10937472 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
           (((67.1875636 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
  }
  const double r = sqrt(-log_positive(q < 0 ? p : 1.0 - p)) - 1.6;
  const double z = (((0.17023821103 * r + 1.3067284816) * r + 2.75681539) * r + 1.4234372777) /
                   ((0.12021132975 * r + 0.7370016425) * r + 1.0);
  return q < 0 ? -z : z;
}

// Element `index` of a stream, as philox_bits.
WM_HD double philox_normal(uint64_t index, uint32_t stream, uint64_t key) {
  return normal_quantile(philox_bits(index, stream, key));
}

// Uniform in (-1, 1).
WM_HD double philox_uniform(uint64_t index, uint32_t stream, uint64_t key) {
  return (static_cast<double>(philox_bits(index, stream, key)) + 0.5) * 0x1p-31 - 1.0;
}

}  // namespace wisemerge

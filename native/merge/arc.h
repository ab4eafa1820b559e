// Coefficients along the arc between two vectors (Shoemake, 1985).
#pragma once

#include <algorithm>
#include <cmath>

namespace wisemerge {

struct ArcCoefficients {
  double first, second;
};

// Of slerp between vectors at the angle theta whose sine is not 0.
inline ArcCoefficients arc_coefficients(double theta, double t) {
  return {std::sin((1 - t) * theta) / std::sin(theta), std::sin(t * theta) / std::sin(theta)};
}

inline double clamp_cosine(double cosine) { return std::clamp(cosine, -1.0, 1.0); }

// Of nuslerp between v1 and v2 whose inner products are <v1, v1>, <v1, v2>, <v2, v2>: straight where their
// angle's sine is next to 0.
inline ArcCoefficients nuslerp_coefficients(const double* products, double t) {
  // Below it, rounding decides which side of a half turn the angle is on.
  constexpr double kShort = 1e-7, kStraight = 1e-6;
  const double first = std::max(std::sqrt(products[0]), kShort);
  const double second = std::max(std::sqrt(products[2]), kShort);
  const double theta = std::acos(clamp_cosine(products[1] / first / second));
  if (std::abs(std::sin(theta)) < kStraight) return {1 - t, t};
  return arc_coefficients(theta, t);
}

}  // namespace wisemerge

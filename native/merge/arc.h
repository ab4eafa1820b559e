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

}  // namespace wisemerge

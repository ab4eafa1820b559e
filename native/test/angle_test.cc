// Sine and cosine against the C library's in higher precision.
#include "wisemerge/angle.h"

#include <cmath>
#include <limits>
#include <random>

#include "check.h"

namespace wisemerge::test {

TEST("angle: within 2^-51 of sine and cosine, at every size up to 2^31") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<float> mantissa(1, 2);
  const auto distance = [](float x) {
    const auto [sine, cosine] = sine_cosine(x);
    const long double exact = static_cast<long double>(x);
    return std::max(std::fabs(std::sin(exact) - sine), std::fabs(std::cos(exact) - cosine));
  };
  long double worst = 0;
  for (int exponent = -30; exponent < 31; exponent++) {
    for (int i = 0; i < (kSanitized ? 200 : 5000); i++) {
      const float x = std::ldexp(mantissa(random), exponent);
      worst = std::max({worst, distance(x), distance(-x)});
    }
  }
  // Multiples of pi / 2, where almost all digits cancel.
  for (int n = 0; n < 2000; n++) worst = std::max(worst, distance(static_cast<float>(n * std::acos(0.0))));
  worst = std::max({worst, distance(0x1p31f), distance(-0x1p31f), distance(0.0f)});
  CHECK(worst < 0x1p-51L);
  CHECK_EQ(sine_cosine(0).cosine, 1.0);
}

TEST("angle: NaN where there is no angle any more") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float x :
       {0x1.000002p31f, -1e30f, infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    CHECK(std::isnan(sine_cosine(x).sine) && std::isnan(sine_cosine(x).cosine));
  }
}

}  // namespace wisemerge::test

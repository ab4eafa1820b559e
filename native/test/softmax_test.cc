// The scalar exponential and logarithm of softmax.h against the C library in f64, and the exponential against
// the vector one through the metrics (head_test.cc, cuda_replay_heads_test.cc).
#include "wisemerge/softmax.h"

#include <cmath>
#include <random>

#include "check.h"

namespace wisemerge::test {

TEST("softmax: the exponential within its bounds") {
  CHECK_EQ(exp_nonpositive(0.0f), 1.0f);
  CHECK_EQ(exp_nonpositive(-0.0f), 1.0f);
  CHECK_EQ(exp_nonpositive(-87.5f), exp_nonpositive(-87.0f));
  CHECK_EQ(exp_nonpositive(-INFINITY), exp_nonpositive(-87.0f));
  CHECK_EQ(1.0f + 1e6f * exp_nonpositive(-INFINITY), 1.0f);
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000000; i++) {
    const float x = -static_cast<float>(std::uniform_real_distribution<double>(0, i % 2 ? 87 : 1)(random));
    const double exact = std::exp(static_cast<double>(x));
    const double error = std::fabs(exp_nonpositive(x) - exact);
    CHECK(error <= 1.2e-7 * (1 - x / 8.0) * exact);
    CHECK(error <= 1.2e-7);
  }
}

TEST("softmax: the logarithm within 2 units in the last place") {
  CHECK_EQ(log_positive(1.0), 0.0);
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000000; i++) {
    const double u = std::uniform_real_distribution<double>(0, 1)(random);
    // Close to 1, over the numbers of classes, and over all exponents.
    const double x = i % 3 == 0   ? 1 + std::ldexp(u, -static_cast<int>(random() % 50))
                     : i % 3 == 1 ? 0.5 + u * 1e5
                                  : std::ldexp(1 + u, static_cast<int>(random() % 2000) - 1000);
    const double exact = std::log(x);
    const double unit = exact == 0 ? 0 : std::ldexp(1.0, std::ilogb(exact) - 52);
    CHECK(std::fabs(log_positive(x) - exact) <= 2 * unit);
  }
}

}  // namespace wisemerge::test

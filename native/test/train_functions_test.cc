// The functions and the loss of training against the C library in f64.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "train/loss.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::network;
using namespace wisemerge::train;

// Within `relative` of the larger magnitude, or `absolute`.
bool near(double a, double b, double relative, double absolute) {
  return std::abs(a - b) <= std::max(absolute, relative * std::max(std::abs(a), std::abs(b)));
}

double phi(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double below(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

}  // namespace

TEST("train functions: exp, gelu and its slope") {
  for (double at = -86.9; at <= 0; at += 0.0137) {
    const float x = static_cast<float>(at);
    CHECK(near(exp_nonpositive(x), std::exp(static_cast<double>(x)), 2.5e-7, 0));
  }
  CHECK_EQ(exp_nonpositive(0), 1.0f);
  CHECK(exp_nonpositive(-1000) < 2e-38f && exp_nonpositive(-1000) > 0);
  CHECK(std::isnan(exp_nonpositive(std::numeric_limits<float>::quiet_NaN())));
  for (double at = -12; at <= 12; at += 0.00371) {
    const float x = static_cast<float>(at);
    const double exact = static_cast<double>(x);
    CHECK(near(gelu(x), exact * below(exact), 1e-6, 4e-7));
    CHECK(near(gelu_slope(x), below(exact) + exact * phi(exact), 1e-6, 4e-7));
  }
  CHECK_EQ(gelu(0), 0.0f);
}

TEST("train loss: value, gradient and hits against f64") {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 3);
  for (const size_t classes : {2, 3, 16, 37}) {
    for (const double smoothing : {0.0, 0.1}) {
      const size_t rows = 5;
      std::vector<float> logits(rows * classes);
      for (float& z : logits) z = normal(random);
      std::vector<int32_t> labels;
      for (size_t i = 0; i < rows; i++) labels.push_back(static_cast<int32_t>((7 * i) % classes));
      std::vector<double> expected(logits.size());
      double loss = 0;
      uint64_t correct = 0;
      for (size_t i = 0; i < rows; i++) {
        const float* const z = logits.data() + i * classes;
        double sum = 0;
        size_t best = 0;
        for (size_t c = 0; c < classes; c++) {
          sum += std::exp(static_cast<double>(z[c]));
          if (z[c] > z[best]) best = c;
        }
        for (size_t c = 0; c < classes; c++) {
          const bool label = static_cast<size_t>(labels[i]) == c;
          const double target = (label ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
          const double p = std::exp(static_cast<double>(z[c])) / sum;
          loss -= target * std::log(p);
          expected[i * classes + c] = (p - target) / static_cast<double>(rows);
        }
        correct += best == static_cast<size_t>(labels[i]);
      }
      std::vector<double> losses;
      ThreadPool pool(1);
      const std::vector<float> before = logits;
      const LossSums alone =
          cross_entropy(pool, logits.data(), labels.data(), rows, classes, smoothing, false, losses);
      CHECK(logits == before);
      const LossSums sums =
          cross_entropy(pool, logits.data(), labels.data(), rows, classes, smoothing, true, losses);
      CHECK_EQ(alone.loss, sums.loss);
      CHECK(near(sums.loss, loss, 1e-6, 0));
      CHECK_EQ(sums.correct, correct);
      for (size_t i = 0; i < expected.size(); i++) CHECK(near(logits[i], expected[i], 1e-5, 1e-7));
    }
  }
}

TEST("train loss: the lowest class wins a tie, and large logits do not overflow") {
  std::vector<float> logits = {1, 1, 0, 1e30f, 0, -1e30f};
  const std::vector<int32_t> labels = {0, 0};
  std::vector<double> losses;
  ThreadPool pool(1);
  const LossSums sums = cross_entropy(pool, logits.data(), labels.data(), 2, 3, 0.1, true, losses);
  CHECK_EQ(sums.correct, uint64_t{2});
  CHECK(std::isfinite(sums.loss));
  for (const float g : logits) CHECK(std::isfinite(g));
}

}  // namespace wisemerge::test

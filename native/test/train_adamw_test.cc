// AdamW against the recurrence worked out in f64, and the norm of gradients.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "train/adamw.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;

bool near(double a, double b, double relative) {
  return std::abs(a - b) <= relative * std::max(std::abs(a), std::abs(b));
}

}  // namespace

TEST("train adamw: three updates by hand") {
  // rate .1, weight decay .5, gradients 1, -2, .5 from parameter 1.
  //   1: m = .1,     v = .001,        m^ = 1,            v^ = 1          p = .95 - .1
  //   2: m = -.11,   v = .004999,     m^ = -.11 / .19,   v^ = .004999 / .001999
  //   3: m = -.049,  v = .005244001,  m^ = -.049 / .271, v^ = .005244001 / .002997001
  AdamW options;
  options.weight_decay = 0.5;
  ThreadPool pool(1);
  float p = 1, m = 0, v = 0;
  double expected = 1;
  const double gradients[] = {1, -2, 0.5};
  const double first[] = {0.1 / 0.1, -0.11 / 0.19, -0.049 / 0.271};
  const double second[] = {0.001 / 0.001, 0.004999 / 0.001999, 0.005244001 / 0.002997001};
  for (uint64_t t = 0; t < 3; t++) {
    // Given as twice the gradient and a scale of a half.
    const float g = static_cast<float>(2 * gradients[t]);
    adamw_step(pool, options, 0.1, t + 1, &g, 0.5, {1, &p, &m, &v});
    expected = expected * (1 - 0.1 * 0.5) - 0.1 * first[t] / (std::sqrt(second[t]) + 1e-8);
    CHECK(near(p, expected, 1e-6));
  }
  CHECK(near(m, -0.049, 1e-6));
  CHECK(near(v, 0.005244001, 1e-6));
}

TEST("train adamw: follows the recurrence in f64 for many parameters") {
  constexpr size_t kCount = 1000;
  const AdamW options;
  ThreadPool pool(2);
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> p(kCount), m(kCount), v(kCount), g(kCount);
  for (float& x : p) x = normal(random);
  std::vector<double> exact(p.begin(), p.end()), m64(kCount), v64(kCount);
  for (uint64_t t = 1; t <= 50; t++) {
    const double rate = 1e-3 * static_cast<double>(t);
    for (float& x : g) x = normal(random);
    adamw_step(pool, options, rate, t, g.data(), 1, {kCount, p.data(), m.data(), v.data()});
    for (size_t i = 0; i < kCount; i++) {
      const double gradient = static_cast<double>(g[i]);
      m64[i] = 0.9 * m64[i] + 0.1 * gradient;
      v64[i] = 0.999 * v64[i] + 0.001 * gradient * gradient;
      const double mean = m64[i] / (1 - std::pow(0.9, t)), square = v64[i] / (1 - std::pow(0.999, t));
      exact[i] = exact[i] * (1 - rate * 0.1) - rate * mean / (std::sqrt(square) + 1e-8);
    }
  }
  for (size_t i = 0; i < kCount; i++) CHECK(std::abs(p[i] - exact[i]) < 1e-5);
}

TEST("train adamw: a rate of 0 keeps every bit of the parameters") {
  std::vector<float> p = {-0.0f, 0.0f, 1e-40f, -3.5f}, m(4), v(4);
  const std::vector<float> before = p, g = {1, -1, -1, 1};
  ThreadPool pool(1);
  for (uint64_t t = 1; t < 4; t++) {
    adamw_step(pool, {}, 0, t, g.data(), 1, {4, p.data(), m.data(), v.data()});
  }
  CHECK_EQ(std::memcmp(p.data(), before.data(), sizeof(float) * 4), 0);
  CHECK(m[0] > 0 && v[0] > 0);
}

TEST("train adamw: the norm has the same bits with any threads") {
  std::mt19937_64 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> x(100'003);
  double exact = 0;
  for (float& value : x) {
    value = normal(random);
    exact += static_cast<double>(value) * static_cast<double>(value);
  }
  ThreadPool one(1), three(3);
  const double norm = global_norm(one, x.data(), x.size());
  CHECK(near(norm, std::sqrt(exact), 1e-12));
  CHECK_EQ(norm, global_norm(three, x.data(), x.size()));
  CHECK_EQ(global_norm(one, x.data(), 0), 0.0);
}

}  // namespace wisemerge::test

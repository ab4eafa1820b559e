#include "train/adamw.h"

#include <cmath>
#include <vector>

#include "wisemerge/lane_sum.h"

namespace wisemerge::train {

using namespace network;

namespace {

constexpr size_t kGrain = 32u << 10;

// The recurrence's factors in f32. By value, because the compiler cannot tell that no array holds them.
struct Factors {
  float scale, beta1, rest1, beta2, rest2, keep, size, correction, epsilon;
};

void update_moments(Factors f, const float* gradient, size_t count, float* m, float* v) {
  for (size_t i = 0; i < count; i++) {
    const float g = gradient[i] * f.scale;
    m[i] = f.beta1 * m[i] + f.rest1 * g;
    v[i] = f.beta2 * v[i] + f.rest2 * (g * g);
  }
}

void update_parameters(Factors f, const float* m, const float* v, size_t count, float* p) {
  for (size_t i = 0; i < count; i++) {
    p[i] = p[i] * f.keep - f.size * (m[i] / (std::sqrt(v[i]) * f.correction + f.epsilon));
  }
}

}  // namespace

void adamw_step(ThreadPool& pool, const AdamW& options, double rate, uint64_t step, const float* gradient,
                double scale, const OptimizerArrays& arrays) {
  const double t = static_cast<double>(step);
  Factors factors;
  factors.scale = static_cast<float>(scale);
  factors.beta1 = static_cast<float>(options.beta1);
  factors.rest1 = static_cast<float>(1 - options.beta1);
  factors.beta2 = static_cast<float>(options.beta2);
  factors.rest2 = static_cast<float>(1 - options.beta2);
  factors.keep = static_cast<float>(1 - rate * options.weight_decay);
  factors.size = static_cast<float>(rate / (1 - std::pow(options.beta1, t)));
  factors.correction = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, t)));
  factors.epsilon = static_cast<float>(options.epsilon);
  pool.parallel_for(arrays.count, kGrain, [&](size_t begin, size_t end) {
    float* const m = arrays.first_moment + begin;
    float* const v = arrays.second_moment + begin;
    update_moments(factors, gradient + begin, end - begin, m, v);
    // -0 - 0 * x is +0 for negative x.
    if (rate != 0) update_parameters(factors, m, v, end - begin, arrays.parameters + begin);
  });
}

double global_norm(ThreadPool& pool, const float* x, size_t count) {
  std::vector<double> blocks((count + kGrain - 1) / kGrain);
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    blocks[begin / kGrain] = lane_sum<double>(end - begin, [&](size_t i) {
      return static_cast<double>(x[begin + i]) * static_cast<double>(x[begin + i]);
    });
  });
  double total = 0;
  for (const double block : blocks) total += block;
  return std::sqrt(total);
}

}  // namespace wisemerge::train

#include "train/adamw.h"

#include <cmath>
#include <vector>

#include "wisemerge/lane_sum.h"

namespace wisemerge::train {

using namespace network;

namespace {

void update_moments(WmAdamW f, const float* gradient, size_t count, float* m, float* v) {
  for (size_t i = 0; i < count; i++) adamw_moments(f, gradient[i], m[i], v[i]);
}

void update_parameters(WmAdamW f, const float* m, const float* v, size_t count, float* p) {
  for (size_t i = 0; i < count; i++) p[i] = adamw_parameter(f, m[i], v[i], p[i]);
}

}  // namespace

WmAdamW adamw_factors(const AdamW& options, double rate, uint64_t step, double scale) {
  const double t = static_cast<double>(step);
  WmAdamW factors{};
  factors.scale = static_cast<float>(scale);
  factors.beta1 = static_cast<float>(options.beta1);
  factors.rest1 = static_cast<float>(1 - options.beta1);
  factors.beta2 = static_cast<float>(options.beta2);
  factors.rest2 = static_cast<float>(1 - options.beta2);
  factors.keep = static_cast<float>(1 - rate * options.weight_decay);
  factors.size = static_cast<float>(rate / (1 - std::pow(options.beta1, t)));
  factors.correction = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, t)));
  factors.epsilon = static_cast<float>(options.epsilon);
  factors.frozen = rate == 0;  // -0 - 0 * x is +0 for negative x
  return factors;
}

void adamw_update(ThreadPool& pool, const WmAdamW& factors, const float* gradient,
                  const OptimizerArrays& arrays) {
  pool.parallel_for(arrays.count, kNormBlock, [&](size_t begin, size_t end) {
    float* const m = arrays.first_moment + begin;
    float* const v = arrays.second_moment + begin;
    update_moments(factors, gradient + begin, end - begin, m, v);
    if (!factors.frozen) update_parameters(factors, m, v, end - begin, arrays.parameters + begin);
  });
}

void adamw_step(ThreadPool& pool, const AdamW& options, double rate, uint64_t step, const float* gradient,
                double scale, const OptimizerArrays& arrays) {
  adamw_update(pool, adamw_factors(options, rate, step, scale), gradient, arrays);
}

double global_norm(ThreadPool& pool, const float* x, size_t count) {
  std::vector<double> blocks((count + kNormBlock - 1) / kNormBlock);
  pool.parallel_for(count, kNormBlock, [&](size_t begin, size_t end) {
    blocks[begin / kNormBlock] = lane_sum<double>(end - begin, [&](size_t i) {
      return static_cast<double>(x[begin + i]) * static_cast<double>(x[begin + i]);
    });
  });
  double total = 0;
  for (const double block : blocks) total += block;
  return std::sqrt(total);
}

}  // namespace wisemerge::train

// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) and the norm that clipping
// needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "wisemerge/adamw.h"

namespace wisemerge::train {

struct AdamW {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.1;  // of every parameter, biases and norms included
};

// [count] each, f32.
struct OptimizerArrays {
  size_t count;
  float *parameters, *first_moment, *second_moment;
};

// Update number `step`, from 1, at the learning rate `rate`, with gradients times `scale`:
//
//   parameters *= 1 - rate * weight_decay
//   first_moment  = beta1 * first_moment  + (1 - beta1) * gradient
//   second_moment = beta2 * second_moment + (1 - beta2) * gradient^2
//   parameters -= rate / (1 - beta1^step) * first_moment / (sqrt(second_moment / (1 - beta2^step)) + epsilon)
//
// At rate 0 the parameters keep their bits.
//
// The same in two: what an update multiplies by, in f32, and the update by that.
WmAdamW adamw_factors(const AdamW& options, double rate, uint64_t step, double scale);
void adamw_update(ThreadPool& pool, const WmAdamW& factors, const float* gradient,
                  const OptimizerArrays& arrays);
void adamw_step(ThreadPool& pool, const AdamW& options, double rate, uint64_t step, const float* gradient,
                double scale, const OptimizerArrays& arrays);

// Euclidean norm, summed in f64.
double global_norm(ThreadPool& pool, const float* x, size_t count);

}  // namespace wisemerge::train

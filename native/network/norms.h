// Normalisations of the rows of a [rows, width] matrix, f32 without gaps. Every row is computed by one thread
// in a fixed order, so that results do not depend on the number of threads.
#pragma once

#include <cstddef>

#include "core/thread_pool.h"

namespace wisemerge::network {

// Layer normalisation (Ba et al., 2016): out = (x - mean) * scale * weight + bias for each row. weight and
// bias are [width], each may be null. out may be x.
struct LayerNorm {
  size_t rows, width;
  const float *weight, *bias;
  float epsilon;
};
void layer_norm(ThreadPool& pool, const LayerNorm& call, const float* x, float* out);

// Root mean square normalisation (Zhang and Sennrich, 2019): out = x / sqrt(mean(x^2) + epsilon) * weight.
// out may be x.
void rms_norm(ThreadPool& pool, size_t rows, size_t width, const float* weight, float epsilon, const float* x,
              float* out);

// out = x / |x|: rows of Euclidean length 1. Rows of zeros become NaN, as their direction is not defined. out
// may be x.
void normalise(ThreadPool& pool, size_t rows, size_t width, const float* x, float* out);

}  // namespace wisemerge::network

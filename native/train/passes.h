// The passes of a network that are no matrix products: activations, layer normalisation, sums of columns.
// Matrices are f32, row-major, [rows, width] without gaps. Every element is computed by one thread in a fixed
// order, so that results do not depend on the number of threads.
#pragma once

#include <cstddef>

#include "core/thread_pool.h"

namespace wisemerge::train {

// Rows, or columns, of a [rows, width] matrix that are worth a hand-over to another thread.
size_t grain_of(size_t width);

enum class Activation { kGelu, kRelu };

// out = f(x). `count` elements.
void activate(ThreadPool& pool, Activation activation, const float* x, size_t count, float* out);
// gradient *= f'(x): turns the gradient of the output into that of the input. ReLU'(0) = 0.
void activate_backward(ThreadPool& pool, Activation activation, const float* x, size_t count,
                       float* gradient);

// Layer normalisation (Ba et al., 2016): out = (x - mean) / sqrt(variance + epsilon) * weight + bias for each
// row, with the biased variance. weight and bias are [width], each may be null. `mean` and `scale`, [rows],
// receive the mean and 1 / sqrt(variance + epsilon) for the backward pass.
struct LayerNorm {
  size_t rows, width;
  const float *weight, *bias;
  float epsilon;
};
void layer_norm(ThreadPool& pool, const LayerNorm& call, const float* x, float* out, float* mean,
                float* scale);
// Turns `gradient` of the output into that of x; writes those of weight and bias (null: not wanted).
void layer_norm_backward(ThreadPool& pool, const LayerNorm& call, const float* x, const float* mean,
                         const float* scale, float* gradient, float* weight_gradient, float* bias_gradient);

// out[j] = sum over the rows, in ascending order, of x[i][j].
void column_sums(ThreadPool& pool, const float* x, size_t rows, size_t width, float* out);

}  // namespace wisemerge::train

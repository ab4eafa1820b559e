// The backward passes of a network that are no matrix products: activations, layer normalisation, sums of
// columns. The forward passes are those of native/network/. Matrices are f32, row-major, [rows, width]
// without gaps. Every element is computed by one thread in a fixed order, so that results do not depend on
// the number of threads.
#pragma once

#include <cstddef>

#include "core/thread_pool.h"
#include "network/activations.h"
#include "network/norms.h"

namespace wisemerge::train {

// gradient *= f'(x): turns the gradient of the output into that of the input. ReLU'(0) = 0.
void activate_backward(ThreadPool& pool, network::Activation activation, const float* x, size_t count,
                       float* gradient);

// Of network::layer_norm, with the `mean` and `scale` it gave: turns `gradient` of the output into that of x;
// writes those of weight and bias (null: not wanted).
void layer_norm_backward(ThreadPool& pool, const network::LayerNorm& call, const float* x, const float* mean,
                         const float* scale, float* gradient, float* weight_gradient, float* bias_gradient);

// out[j] = sum over the rows, in ascending order, of x[i][j].
void column_sums(ThreadPool& pool, const float* x, size_t rows, size_t width, float* out);

}  // namespace wisemerge::train

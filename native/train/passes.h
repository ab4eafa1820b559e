// The backward passes of a network that are no matrix products: activations, normalisations, sums of columns.
// The forward passes are those of native/network/. Matrices are f32, row-major, [rows, width] without gaps;
// `dy` is the gradient of the loss by the result, `dx` that by x, and may be dy. Every element is computed by
// one thread in a fixed order, so that results do not depend on the number of threads.
#pragma once

#include <cstddef>

#include "core/thread_pool.h"
#include "network/activations.h"
#include "network/norms.h"

namespace wisemerge::train {

// dx = f'(x) dy. ReLU'(0) = 0.
void activate_backward(ThreadPool& pool, network::Activation activation, const float* x, const float* dy,
                       size_t count, float* dx);

// Of network::layer_norm. Null where a gradient is not wanted: dx, those of weight and bias.
void layer_norm_backward(ThreadPool& pool, const network::LayerNorm& call, const float* x, const float* dy,
                         float* dx, float* weight_gradient, float* bias_gradient);

// Of network::normalise: dx = (dy - y (y . dy)) / |x| for y = x / |x|.
void normalise_backward(ThreadPool& pool, size_t rows, size_t width, const float* x, const float* dy,
                        float* dx);

// out[j] = sum over the rows, in ascending order, of x[i][j].
void column_sums(ThreadPool& pool, const float* x, size_t rows, size_t width, float* out);

}  // namespace wisemerge::train

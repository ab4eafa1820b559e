// The backward passes of native/network/rearrange.h, each with its forward pass's description. `dy` is the
// gradient of the loss by the result, `dx` that by x. Sums run over the batch in ascending order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "network/rearrange.h"

namespace wisemerge::train {

// dx becomes the gradient; `front` and `positions` likewise. Null: not wanted.
void put_prefix_backward(ThreadPool& pool, const network::Prefix& call, const float* dy, float* dx,
                         float* front, float* positions);

// Both add to dx.
void pick_token_backward(ThreadPool& pool, const network::Pool& call, const int32_t* index, const float* dy,
                         float* dx);
void mean_token_backward(ThreadPool& pool, const network::Pool& call, size_t first, const int32_t* mask,
                         const float* dy, float* dx);

}  // namespace wisemerge::train

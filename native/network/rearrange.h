// Copies between layouts: patches of images, tokens in front of them, one vector per sequence.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"

namespace wisemerge::network {

// Cuts images [images, channels, height, width] into squares of `patch` pixels, left to right and top to
// bottom: out is [images * squares, channels * patch * patch], so that the product with a convolution's
// weight, flattened, is that convolution with stride `patch`. Pixels that fill no square are left out.
struct Patches {
  size_t images, channels, height, width, patch;

  size_t across() const { return width / patch; }
  size_t squares() const { return height / patch * across(); }
};
void cut_patches(ThreadPool& pool, const Patches& call, const float* x, float* out);

// out [batch, prefix + tokens, width] = the rows of `prefix` (null if there are none), then those of x
// [batch, tokens, width], plus `positions` [prefix + tokens, width] (may be null).
struct Prefix {
  size_t batch, prefix, tokens, width;
  const float *front, *positions;
};
void put_prefix(ThreadPool& pool, const Prefix& call, const float* x, float* out);

// One vector for each sequence of x [batch, tokens, width].
struct Pool {
  size_t batch, tokens, width;
};
// That of token index[b].
void pick_token(ThreadPool& pool, const Pool& call, const float* x, const int32_t* index, float* out);
// The mean over the tokens from `first` on whose mask is not 0 (null: all). Sums run in f64, in ascending
// order. Without any token: NaN.
void mean_token(ThreadPool& pool, const Pool& call, size_t first, const float* x, const int32_t* mask,
                float* out);

}  // namespace wisemerge::network

// The backward passes of train/rearrange_backward.h: one thread per element of the result.
#pragma once

#include "cuda/kernels/rearrange.h"

namespace wisemerge::cuda {

// Tokens without those in front: [batch, tokens, width] of x [batch, prefix + tokens, width].
struct TokensBehind {
  uint64_t batch, prefix, tokens, width;
  const float* x;
  float* out;

  WM_HD uint64_t count() const { return batch * tokens * width; }
  WM_HD float operator()(uint64_t i) const {
    const uint64_t one = tokens * width;
    return x[(i / one * (prefix + tokens) + prefix) * width + i % one];
  }
};

// The sum over sequences, in ascending order, of the first `numbers` of each one's `length`.
struct SequenceSums {
  uint64_t batch, length, numbers;
  const float* x;
  float* out;

  WM_HD uint64_t count() const { return numbers; }
  WM_HD float operator()(uint64_t i) const {
    float sum = 0;
    for (uint64_t b = 0; b < batch; b++) sum += x[b * length + i];
    return sum;
  }
};

// The gradient of TokenPool: row b of x [batch, width] to token index[b] or, without an index, shared out
// among the tokens from `first` on whose mask is not 0 (null: all). Added to `out` [batch, tokens, width], or
// to 0.
struct TokenSpread {
  uint64_t batch, tokens, width, first;
  bool add;
  const float* x;
  const int32_t *index, *mask;
  float* out;

  WM_HD uint64_t count() const { return batch * tokens * width; }
  WM_HD float operator()(uint64_t i) const {
    const uint64_t token = i / width, sequence = token / tokens, t = token % tokens;
    const float before = add ? out[i] : 0, up = x[sequence * width + i % width];
    if (index) return t == static_cast<uint64_t>(index[sequence]) ? before + up : before;
    const int32_t* const wanted = mask ? mask + sequence * tokens : nullptr;
    if (t < first || (wanted && wanted[t] == 0)) return before;
    float shares = static_cast<float>(tokens - first);
    if (wanted) {
      shares = 0;
      for (uint64_t other = first; other < tokens; other++) shares += wanted[other] != 0 ? 1 : 0;
    }
    return before + up / shares;
  }
};

}  // namespace wisemerge::cuda

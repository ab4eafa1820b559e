// The passes of network/rearrange.h: one thread per element of the result.
#pragma once

#include "cuda/kernels/ends.h"

namespace wisemerge::cuda {

// Patches of images [images, channels, height, width], see network::Patches.
struct PatchCut {
  uint64_t images, channels, height, width, patch;
  const float* x;
  float* out;

  WM_HD uint64_t squares() const { return height / patch * (width / patch); }
  WM_HD uint64_t count() const { return images * squares() * channels * patch * patch; }
  WM_HD float operator()(uint64_t i) const {
    const uint64_t depth = channels * patch * patch, across = width / patch;
    const uint64_t square = i / depth, at = i % depth;
    const uint64_t image = square / squares(), place = square % squares();
    const uint64_t channel = at / (patch * patch), inside = at % (patch * patch);
    const uint64_t row = place / across * patch + inside / patch;
    const uint64_t column = place % across * patch + inside % patch;
    return x[((image * channels + channel) * height + row) * width + column];
  }
};

// Rows of `front`, then those of x [batch, tokens, width], plus `positions`: see network::Prefix.
struct FrontTokens {
  uint64_t batch, prefix, tokens, width;
  const float* x;
  Ends front, positions;  // x null: none
  float* out;

  WM_HD uint64_t count() const { return batch * (prefix + tokens) * width; }
  WM_HD float operator()(uint64_t i) const {
    const uint64_t length = (prefix + tokens) * width, sequence = i / length, at = i % length;
    const float from =
        at < prefix * width ? interpolated(front, at) : x[sequence * tokens * width + at - prefix * width];
    return positions.x ? from + interpolated(positions, at) : from;
  }
};

// One vector for each sequence of x [batch, tokens, width]: that of token index[b] or, without an index, the
// mean over the tokens from `first` on whose mask is not 0 (null: all).
struct TokenPool {
  uint64_t batch, tokens, width, first;
  const float* x;
  const int32_t *index, *mask;
  float* out;

  WM_HD uint64_t count() const { return batch * width; }
  WM_HD float operator()(uint64_t i) const {
    const uint64_t sequence = i / width;
    const float* const column = x + sequence * tokens * width + i % width;
    if (index) return column[static_cast<uint64_t>(index[sequence]) * width];
    const int32_t* const wanted = mask ? mask + sequence * tokens : nullptr;
    double sum = 0, tokens_counted = 0;
    for (uint64_t t = first; t < tokens; t++) {
      if (wanted && wanted[t] == 0) continue;
      sum += static_cast<double>(column[t * width]);
      tokens_counted += 1;
    }
    return static_cast<float>(sum / tokens_counted);
  }
};

// Any grid.
template <class Pass>
WM_HD void rearrange_body(const GridPosition& at, const Pass& call) {
  const uint64_t count = call.count();
  for (uint64_t i = uint64_t{at.block} * at.threads + at.thread; i < count;
       i += uint64_t{at.blocks} * at.threads) {
    call.out[i] = call(i);
  }
}

}  // namespace wisemerge::cuda

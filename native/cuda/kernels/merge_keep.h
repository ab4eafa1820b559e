// Which elements of a delta take part (WmKeep), for a pack at a time.
#pragma once

#include "cuda/kernels/merge_inputs.h"

namespace wisemerge::cuda {

// philox_bits' choice of a block's word, by registers.
WM_HD uint32_t philox_word(const PhiloxBlock& block, uint64_t index) {
  const uint32_t low = index & 1 ? block.word[1] : block.word[0];
  const uint32_t high = index & 1 ? block.word[3] : block.word[2];
  return index & 2 ? high : low;
}
WM_HD PhiloxBlock philox_block(const WmKeep& keep, uint64_t index) {
  const uint64_t block = index / 4;
  return philox({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), keep.stream, 0}},
                keep.key);
}

// merge_keep_random of n elements: one block gives the bits of four.
WM_HD uint32_t random_bits(const WmKeep& keep, uint64_t index, uint32_t n) {
  const uint64_t threshold = philox_threshold(keep.probability);
  PhiloxBlock block = philox_block(keep, index);
  uint32_t bits = 0;
  WM_NO_UNROLL
  for (uint32_t i = 0; i < n; i++, index++) {
    if (i > 0 && index % 4 == 0) block = philox_block(keep, index);
    bits |= static_cast<uint32_t>(philox_word(block, index) < threshold) << i;
  }
  return bits;
}

WM_HD bool mask_bit(const WmKeep& keep, const MergeChunk& chunk, uint64_t e) {
  const uint64_t bit = chunk.first_bit + e;
  return keep.mask[bit / 8] >> (bit % 8) & 1;
}

// variance() gives the element's key of WM_SCORE_VARIANCE.
template <class Scalar, class Variance>
WM_HD bool keeps_ranked(const WmKeep& keep, const MergeChunk& chunk, uint64_t e, Scalar delta,
                        const Variance& variance) {
  uint64_t key;
  if (keep.score == WM_SCORE_VARIANCE) {
    key = variance();
  } else {
    key = merge_key(keep.score == WM_SCORE_ROW_SCALED
                        ? merge_row_scaled(delta, keep.row_scores[row_of(chunk, e)])
                        : delta);
  }
  return merge_keep_ranked(keep, key, chunk.first + e);
}

template <class Scalar, class Variance>
WM_HD bool keeps_element(const WmKeep& keep, const MergeChunk& chunk, uint64_t e, Scalar delta,
                         const Variance& variance) {
  switch (keep.rule) {
    case WM_KEEP_RANKED:
      return keeps_ranked(keep, chunk, e, delta, variance);
    case WM_KEEP_RANDOM:
      return random_bits(keep, chunk.first + e, 1);
    case WM_KEEP_MASKED:
      return mask_bit(keep, chunk, e);
    default:
      return true;
  }
}

// Bit i is set if element e + i is kept, for i < n; delta(i) and variance(i) are element e + i's.
template <class Delta, class Variance>
WM_HD uint32_t keep_bits(const WmKeep& keep, const MergeChunk& chunk, uint64_t e, uint32_t n,
                         const Delta& delta, const Variance& variance) {
  if (keep.rule == WM_KEEP_ALL) return (1u << n) - 1;
  if (keep.rule == WM_KEEP_RANDOM) return random_bits(keep, chunk.first + e, n);
  uint32_t bits = 0;
  WM_NO_UNROLL
  for (uint32_t i = 0; i < n; i++) {
    const bool kept = keep.rule == WM_KEEP_MASKED
                          ? mask_bit(keep, chunk, e + i)
                          : keeps_ranked(keep, chunk, e + i, delta(i), [&] { return variance(i); });
    bits |= static_cast<uint32_t>(kept) << i;
  }
  return bits;
}

}  // namespace wisemerge::cuda

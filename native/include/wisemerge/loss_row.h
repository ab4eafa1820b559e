// -log softmax(z)[label] of one row of logits that come block by block: a running maximum and the sum of
// exponentials relative to it, terms in f32, sums in f64. IEEE operations alone.
#pragma once

#include <cstddef>

#include "wisemerge/merge.h"
#include "wisemerge/softmax.h"

namespace wisemerge::network {

// Classes that a row's sum takes at a time. Logits may come in slices of a multiple of it, in order: the bits
// are those of all at once.
inline constexpr size_t kLossBlock = 256;

struct LossRow {
  float top, label;  // the largest logit so far; the label's
  double sum;

  WM_HD static LossRow empty() { return {bit_cast<float>(0xff800000u), 0, 0}; }

  // A block whose exponentials relative to `highest`, which is not below `top`, have this sum.
  WM_HD void add(float highest, double exponentials) {
    const bool first = sum == 0;
    const double shrink = merge_exp(static_cast<double>(top) - static_cast<double>(highest));
    sum = first ? exponentials : sum * shrink + exponentials;
    top = highest;
  }

  WM_HD float loss() const {
    const double log = sum - sum == 0 ? log_positive(sum) : sum;
    return static_cast<float>(log - (static_cast<double>(label) - static_cast<double>(top)));
  }
};

}  // namespace wisemerge::network

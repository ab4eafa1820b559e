// From the softmax of one sample to the sums of WmHeadMetrics: shared by the backends, so that their sums
// have the same bits.
#pragma once

#include <cmath>

#include "wisemerge/head.h"
#include "wisemerge/softmax.h"

namespace wisemerge {

// One sample at one alpha.
struct SampleMetrics {
  int32_t predicted;
  uint32_t rank;  // classes above the label
  double nll, brier, confidence;
};

// What one pass over a sample's logits at one alpha gives, the label kept apart from the other classes.
struct SampleSoftmax {
  float own, other;       // the label's logit and the highest of the others'
  float own_exp;          // relative to the higher of the two
  float other_exp;        // of `other`
  float others, squares;  // sums of the others' exponentials and of their squares
  int32_t first;          // the lowest place whose logit is `other`
  uint32_t rank;
};

// What exponentials are relative to.
WM_HD float top_of(const SampleSoftmax& sample) {
  return sample.own > sample.other ? sample.own : sample.other;
}

// What a sample is taken for where its label does not win. The label's place in the race holds -inf, which is
// the highest there is where no other logit is above it: then the lowest other class, if there is one.
WM_HD int32_t other_class(int32_t first, int32_t label, uint64_t classes) {
  return first == label && classes > 1 ? label == 0 : first;
}

// `correct` says whether the label is the argmax by the exact path.
WM_HD SampleMetrics sample_metrics(const SampleSoftmax& sample, int32_t label, uint64_t classes,
                                   bool correct) {
  const double own_exp = sample.own_exp, others = sample.others, all = own_exp + others;
  const double top = top_of(sample);
  SampleMetrics metrics;
  metrics.predicted = correct ? label : other_class(sample.first, label, classes);
  metrics.rank = correct ? 0 : sample.rank;
  metrics.nll = top - sample.own + log_positive(all);
  // (1 - p)^2 + the others' squares: no cancellation where p is close to 1.
  metrics.brier = (others / all) * (others / all) + static_cast<double>(sample.squares) / (all * all);
  metrics.confidence = (correct ? own_exp : static_cast<double>(sample.other_exp)) / all;
  return metrics;
}

// Sums of exponentials that are relative to `from`, made relative to `top`.
WM_HD void rescale(SampleSoftmax& sample, float from, float top) {
  const float scale = exp_nonpositive(from - top);
  sample.others *= scale;
  sample.squares *= scale * scale;
}

// Whether alpha is on the interval that WmPath gave.
WM_HD bool on_interval(double lo, double hi, uint8_t open, double alpha) {
  const bool above = alpha > lo || (alpha == lo && !(open & 1));
  const bool below = alpha < hi || (alpha == hi && !(open & 2));
  return above && below;
}

WM_HD uint32_t calibration_bin(double confidence) {
  const double at = ceil(confidence * static_cast<double>(kCalibrationBins)) - 1;
  if (at < 0) return 0;
  return static_cast<uint32_t>(at < kCalibrationBins ? at : kCalibrationBins - 1);
}

// Adds to kMetricColumns sums.
WM_HD void add_sample(double* sums, const SampleMetrics& metrics, bool correct, int32_t zeroshot,
                      int32_t finetuned) {
  const uint32_t bin = calibration_bin(metrics.confidence);
  sums[kTop1] += correct;
  sums[kTop5] += metrics.rank < 5;
  sums[kNll] += metrics.nll;
  sums[kNllSquares] += metrics.nll * metrics.nll;
  sums[kBrier] += metrics.brier;
  sums[kDisagreeZeroshot] += metrics.predicted != zeroshot;
  sums[kDisagreeFinetuned] += metrics.predicted != finetuned;
  sums[kBinCount + bin] += 1;
  sums[kBinCorrect + bin] += correct;
  sums[kBinConfidence + bin] += metrics.confidence;
}

}  // namespace wisemerge

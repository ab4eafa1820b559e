// What the evaluation of a linear head counts: the columns of WmHeadMetrics::sums and WmHeadOutputs::outputs.
#pragma once

#include <cstddef>

namespace wisemerge {

// Bins of the expected calibration error: (i / 15, (i + 1) / 15] of confidence (Guo et al., 2017, section 2).
inline constexpr size_t kCalibrationBins = 15;

enum MetricColumn : size_t {
  kTop1,               // samples whose label is the argmax
  kTop5,               // samples with fewer than 5 classes above the label
  kNll,                // sum of -log p(label), in nats
  kNllSquares,         // sum of its squares
  kBrier,              // sum of squared distances of p to the one-hot label (0 to 2)
  kDisagreeZeroshot,   // samples predicted otherwise than at alpha = 0
  kDisagreeFinetuned,  // samples predicted otherwise than at alpha = 1
  kBinCount,           // kCalibrationBins columns each: samples, correct ones, sum of confidences
  kBinCorrect = kBinCount + kCalibrationBins,
  kBinConfidence = kBinCorrect + kCalibrationBins,
  kMetricColumns = kBinConfidence + kCalibrationBins,
};

// Of each of the three models, behind kOutputZeroshot and so on.
enum ModelOutput : size_t {
  kOutputPredicted,   // the lowest class with the highest logit
  kOutputMargin,      // between the two highest logits; 0 for one class
  kOutputConfidence,  // probability of the predicted class
  kModelOutputs,
};

enum OutputColumn : size_t {
  kOutputZeroshot,
  kOutputFinetuned = kOutputZeroshot + kModelOutputs,
  kOutputMerged = kOutputFinetuned + kModelOutputs,
  kOutputDivergence0 = kOutputMerged + kModelOutputs,  // KL(p0 || p1) in nats
  kOutputDivergence1,                                  // KL(p1 || p0)
  kOutputEnsemblePredicted,                            // argmax of (1 - alpha) p0 + alpha p1
  kOutputLabelLog0,                                    // log p0(label)
  kOutputLabelLog1,
  kOutputColumns,
};

// Samples are summed in blocks of this many, the blocks in ascending order, so that sums do not depend on the
// number of threads.
inline constexpr size_t kSampleBlock = 64;

}  // namespace wisemerge

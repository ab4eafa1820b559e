#include "train/loss.h"

#include <cmath>

#include "train/passes.h"
#include "wisemerge/lane_sum.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::train {

using namespace network;

namespace {

struct RowLoss {
  double loss;
  bool correct;
};

RowLoss row_loss(float* z, size_t classes, size_t label, double smoothing, float share) {
  size_t best = 0;
  for (size_t c = 1; c < classes; c++) best = z[c] > z[best] ? c : best;
  const float top = z[best];
  const double sum = lane_sum<float>(classes, [&](size_t c) { return network::exp_nonpositive(z[c] - top); });
  const double log_sum = static_cast<double>(top) + std::log(sum);
  const double mean =
      smoothing > 0 ? lane_sum<float>(classes, [&](size_t c) { return z[c]; }) / static_cast<double>(classes)
                    : 0;
  const double at_label = static_cast<double>(z[label]);
  const RowLoss result = {log_sum - (1 - smoothing) * at_label - smoothing * mean, best == label};
  if (share > 0) {
    const float factor = static_cast<float>(static_cast<double>(share) / sum);
    const float uniform = static_cast<float>(smoothing / static_cast<double>(classes)) * share;
    for (size_t c = 0; c < classes; c++) z[c] = network::exp_nonpositive(z[c] - top) * factor - uniform;
    z[label] -= static_cast<float>(1 - smoothing) * share;
  }
  return result;
}

}  // namespace

LossSums cross_entropy(ThreadPool& pool, float* logits, const int32_t* labels, size_t rows, size_t classes,
                       double smoothing, bool gradient, std::vector<double>& losses) {
  losses.resize(2 * rows);
  const float share = gradient ? 1.0f / static_cast<float>(rows) : 0.0f;
  pool.parallel_for(rows, grain_of(classes), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const RowLoss row =
          row_loss(logits + i * classes, classes, static_cast<size_t>(labels[i]), smoothing, share);
      losses[2 * i] = row.loss;
      losses[2 * i + 1] = row.correct ? 1 : 0;
    }
  });
  LossSums sums;
  for (size_t i = 0; i < rows; i++) {
    sums.loss += losses[2 * i];
    sums.correct += losses[2 * i + 1] > 0 ? 1 : 0;
  }
  return sums;
}

}  // namespace wisemerge::train

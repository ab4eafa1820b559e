// arcee_fusion: elements of the other model replace the base's where their importance is an outlier above:
// |delta| times the Kullback-Leibler divergence of their row's softmax, at least the median and 1.5
// interquartile ranges, but for rounding. Quantiles are exact: the element of rank int(q (n - 1)).
#include <limits>

#include "merge/methods.h"
#include "merge/ranks.h"

namespace wisemerge {

void merge_arcee_fusion(TensorRun& run) {
  const uint64_t count = run.job().count;
  std::vector<double> divergence(run.rows());
  run.each([&](const WmMergeInputs& inputs) {
    run.engine().merge_divergence({inputs, divergence.data() + inputs.first / inputs.row}, run.cancelled());
  });
  const auto rank = [&](double q) {
    return static_cast<uint64_t>(q * static_cast<double>(count == 0 ? 0 : count - 1));
  };
  std::vector<RankQuery> quartiles;
  for (const double q : {0.25, 0.5, 0.75}) {
    quartiles.push_back({0, WM_SCORE_ROW_SCALED, divergence.data(), rank(q)});
  }
  if (count > 0) find_ranks(run, quartiles);
  const auto score = [&](size_t i) { return score_of_key(quartiles[i].key, run.wide()); };
  // Numbers on a grid, as in BF16, reach the threshold exactly: rounding, of up to five units here, must not
  // keep them from it.
  const double rounding = run.wide() ? 0x1p-50 : 0x1p-21;
  const double threshold = (score(1) + 1.5 * (score(2) - score(0))) * (1 - rounding);
  WmKeep keep{};
  keep.rule = WM_KEEP_RANKED;
  keep.score = WM_SCORE_ROW_SCALED;
  keep.row_scores = divergence.data();
  keep.high_key = UINT64_MAX;
  keep.low_to = UINT64_MAX;
  // The smallest score that is not below the threshold, as the scores are rounded.
  auto bound = static_cast<float>(threshold);
  if (static_cast<double>(bound) < threshold)
    bound = std::nextafterf(bound, std::numeric_limits<float>::infinity());
  keep.low_key = run.wide() ? merge_key(threshold) : merge_key(bound);
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_TAKE;
    call.keeps = &keep;
  });
}

}  // namespace wisemerge

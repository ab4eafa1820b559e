// sce: select the elements in which the models vary most, calculate a weight per model from its deltas' mean
// square there, erase those against the elected sign (Wan et al., 2024, "FuseChat", section 3.2).
//
//   parameters: select_topk
#include "merge/combination.h"
#include "merge/methods.h"
#include "merge/selection.h"

namespace wisemerge {
namespace {

constexpr double kNothing = 1e-6;  // a sum that is not divided by

uint64_t count_varying(TensorRun& run) {
  std::vector<uint64_t> table(65536);
  run.each([&](const WmMergeInputs& inputs) {
    run.engine().merge_count({inputs, 0, WM_SCORE_VARIANCE, nullptr, 0, 0, table.data()}, run.cancelled());
  });
  return run.job().count - table[0];
}

}  // namespace

void merge_sce(TensorRun& run) {
  const uint32_t n = run.models();
  WmKeep keep = keep_all();
  if (run.parameter(0) < 1) {
    const auto kept = static_cast<uint64_t>(static_cast<double>(count_varying(run)) * run.parameter(0));
    keep = keep_largest(run, WM_SCORE_VARIANCE, {kept})[0];
    if (kept == 0) run.report.notes |= kNoteNothingKept;
  }
  const std::vector<WmKeep> keeps(n, keep);
  const std::vector<double> sums = run.sums(keeps);
  std::vector<double> weights(n);
  double total = 0;
  for (uint32_t i = 0; i < n; i++) {
    weights[i] = sums[i * kMergeSumColumns + kMergeSumKeptSquare] / static_cast<double>(run.job().count);
    total += weights[i];
  }
  for (double& weight : weights) weight = total < kNothing ? 1.0 / n : weight / total;
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_ELECTED;
    call.weights = weights.data();
    call.keeps = keeps.data();
    call.parameters[0] = kNothing;
  });
}

}  // namespace wisemerge

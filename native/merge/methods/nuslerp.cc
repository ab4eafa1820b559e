// nuslerp: slerp with a weight per model, on the tensors or on their deltas from a base; on the whole tensor,
// on vectors along the last axis, or along the first.
//
//   parameters: axis (0 whole, 1 rows, 2 columns), 0; per model: weight
#include "merge/arc.h"
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {
namespace {

constexpr double kNoWeight = 1e-6;  // weights that cancel out
}  // namespace

void merge_nuslerp(TensorRun& run) {
  const double first = run.model(0).parameters[0], second = run.model(1).parameters[0];
  double t = 0.5;
  if (std::abs(first + second) < kNoWeight) {
    run.report.notes |= kNoteHalfWeights;
  } else {
    t = second / (first + second);
  }
  const auto axis = static_cast<WmMergeAxis>(run.parameter(0));
  if (axis == WM_AXIS_WHOLE) {
    const ArcCoefficients arc = nuslerp_coefficients(run.gram().data(), t);
    if (run.has_base()) return write_delta_sum(run, {arc.first, arc.second});
    return write_combination(run, {arc.first, arc.second});
  }
  const std::vector<double> grams = run.gram(axis);
  std::vector<double> coefficients;
  for (size_t at = 0; at < grams.size(); at += 3) {
    const ArcCoefficients arc = nuslerp_coefficients(grams.data() + at, t);
    coefficients.push_back(arc.first);
    coefficients.push_back(arc.second);
  }
  write_vectors(run, axis, coefficients);
}

}  // namespace wisemerge

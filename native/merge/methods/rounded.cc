// Sums of models or deltas as programs make them that compute in the dtype of the tensors: every weight,
// product, sum and quotient is rounded to it (merge_rounded of merge.h).
//
//   parameters: dtype, whether weights are rounded, normalize, lambda; per model: weight
#include "merge/methods.h"

namespace wisemerge {

void merge_rounded_sum(TensorRun& run) {
  const auto dtype = static_cast<DType>(static_cast<int32_t>(run.parameter(0)));
  const bool rounds = run.parameter(1) != 0, normalize = run.parameter(2) != 0;
  const DType sums = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  std::vector<double> weights;
  double total = 0;
  for (uint32_t i = 0; i < run.models(); i++) {
    const double weight = run.model(i).parameters[0];
    weights.push_back(rounds ? merge_round(dtype, weight) : weight);
    total = merge_round(sums, total + weights[i]);
  }
  run.write([&](WmMergeCombine& call) {
    call.operation = run.has_base() ? WM_MERGE_ROUNDED_DELTA_SUM : WM_MERGE_ROUNDED_SUM;
    call.work_dtype = static_cast<int32_t>(dtype);
    call.weights = weights.data();
    call.parameters[0] = normalize ? merge_round(dtype, total) : 1;
    call.parameters[1] = run.parameter(3);
  });
}

}  // namespace wisemerge

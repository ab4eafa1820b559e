#include "merge/combination.h"

#include <algorithm>
#include <cmath>

namespace wisemerge {
namespace {

// How far from 1 coefficients may add up and be taken as 1: far below what f32 can tell.
constexpr double kUnitSum = 1e-12;

// Index of the coefficient that is 1 where all others are 0; -1: there is none.
int32_t only_one(const std::vector<double>& coefficients) {
  int32_t only = -1;
  for (size_t i = 0; i < coefficients.size(); i++) {
    if (coefficients[i] == 0) continue;
    if (only >= 0 || coefficients[i] != 1) return -1;
    only = static_cast<int32_t>(i);
  }
  return only;
}

}  // namespace

bool is_mean(const std::vector<double>& coefficients) {
  double sum = 0;
  for (const double c : coefficients) sum += c;
  return std::abs(sum - 1) <= kUnitSum;
}

void write_combination(TensorRun& run, const std::vector<double>& coefficients) {
  const int32_t only = only_one(coefficients);
  if (only >= 0) return run.copy_model(static_cast<uint32_t>(only));
  if (!is_mean(coefficients)) {
    run.set_base(-1);
    run.write([&](WmMergeCombine& call) {
      call.operation = WM_MERGE_SUM;
      call.weights = coefficients.data();
    });
    return;
  }
  run.set_base(0);
  write_delta_sum(run, {coefficients.begin() + 1, coefficients.end()});
}

void write_delta_sum(TensorRun& run, const std::vector<double>& coefficients) {
  const int32_t only = only_one(coefficients);
  if (only >= 0) return run.copy_model(static_cast<uint32_t>(only));
  if (std::all_of(coefficients.begin(), coefficients.end(), [](double c) { return c == 0; })) {
    return run.copy_base();
  }
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_DELTA_SUM;
    call.weights = coefficients.data();
  });
}

void write_vectors(TensorRun& run, WmMergeAxis axis, const std::vector<double>& coefficients) {
  run.write([&](WmMergeCombine& call) {
    call.operation = run.has_base() ? WM_MERGE_DELTA_SUM : WM_MERGE_SUM;
    call.axis = axis;
    const uint64_t first = axis == WM_AXIS_ROW ? call.inputs.first / call.inputs.row : 0;
    call.weights = coefficients.data() + first * run.models();
  });
}

}  // namespace wisemerge

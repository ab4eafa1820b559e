#include "merge/combination.h"

#include <cmath>
#include <cstdlib>

namespace wisemerge {
namespace {

// How far from 1 coefficients may add up and be taken as 1: far below what f32 can tell.
constexpr double kUnitSum = 1e-12;

}  // namespace

bool is_mean(const std::vector<double>& coefficients) {
  double sum = 0;
  for (const double c : coefficients) sum += c;
  return std::abs(sum - 1) <= kUnitSum;
}

void write_combination(TensorRun& run, const std::vector<double>& coefficients) {
  if (!is_mean(coefficients)) {
    run.set_base(-1);
    run.write([&](WmMergeCombine& call) {
      call.operation = WM_MERGE_SUM;
      call.weights = coefficients.data();
    });
    return;
  }
  if (coefficients.size() == 1) return run.copy();
  run.set_base(0);
  const std::vector<double> rest(coefficients.begin() + 1, coefficients.end());
  write_delta_sum(run, rest);
}

void write_delta_sum(TensorRun& run, const std::vector<double>& coefficients,
                     const std::vector<WmKeep>& keeps) {
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_DELTA_SUM;
    call.weights = coefficients.data();
    call.keeps = keeps.empty() ? nullptr : keeps.data();
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

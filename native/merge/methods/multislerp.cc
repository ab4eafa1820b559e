// multislerp: a weighted mean of directions on the sphere, taken in the tangent space at their mean
// direction, at the weighted mean length (Goddard, "Multi-SLERP"). All of it follows from the inner products
// of the inputs, so that one sweep finds the coefficients and one combines.
//
//   parameters: normalize_weights, eps; per model: weight
#include "merge/arc.h"
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {

void merge_multislerp(TensorRun& run) {
  const size_t n = run.models();
  const double eps = run.parameter(1);
  std::vector<double> w(n);
  double total = 0;
  for (uint32_t i = 0; i < n; i++) total += w[i] = run.model(i).parameters[0];
  if (run.parameter(0) != 0) {
    for (double& weight : w) weight /= total;
  }
  const auto write = [&](const std::vector<double>& coefficients) {
    if (run.has_base()) return write_delta_sum(run, coefficients);
    write_combination(run, coefficients);
  };
  if (n == 1) return write({1});

  const std::vector<double> gram = run.gram();
  const auto dot = [&](size_t i, size_t j) { return gram[gram_index(i, j, n)]; };
  std::vector<double> length(n), mean(n);  // directions are combinations of the inputs: mean = sum mean_i x_i
  double weighted_length = 0;
  for (size_t i = 0; i < n; i++) {
    length[i] = std::sqrt(dot(i, i));
    weighted_length += w[i] * length[i];
    mean[i] = w[i] / (length[i] + eps);
  }
  const auto product = [&](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
      for (size_t j = 0; j < n; j++) sum += a[i] * b[j] * dot(i, j);
    }
    return sum;
  };
  const double mean_length = std::sqrt(std::max(product(mean, mean), 0.0));
  if (mean_length < eps) {
    // Untouched tensors and zero biases have no direction, and none that cancels another's.
    const bool nothing = std::all_of(length.begin(), length.end(), [=](double l) { return l <= eps; });
    if (n == 2 || nothing) return write(w);
    throw Error("ERR_MERGE",
                "the weighted directions of the models cancel out: multislerp has no mean "
                "direction; change the weights or use linear");
  }
  for (double& m : mean) m /= mean_length;
  // tangent = sum w_i (u_i - <u_i, m> m)
  std::vector<double> tangent(n);
  double along = 0;
  for (size_t i = 0; i < n; i++) {
    std::vector<double> unit(n);
    unit[i] = 1 / (length[i] + eps);
    tangent[i] += w[i] * unit[i];
    along += w[i] * product(unit, mean);
  }
  for (size_t i = 0; i < n; i++) tangent[i] -= along * mean[i];
  const double angle = std::sqrt(std::max(product(tangent, tangent), 0.0)) + eps;
  std::vector<double> coefficients(n);
  for (size_t i = 0; i < n; i++) {
    coefficients[i] = (mean[i] * std::cos(angle) + tangent[i] * std::sin(angle) / angle) * weighted_length;
  }
  write(coefficients);
}

}  // namespace wisemerge

// karcher: the Karcher (Riemannian) mean of the models' directions, at their mean length. Iterates on the
// matrix of inner products: the tensors are read for it once and combined once.
//
//   parameters: max_iter, tol
#include "merge/arc.h"
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kAntipodal = 1e-6;  // an angle this near to pi has no direction

}  // namespace

void merge_karcher(TensorRun& run) {
  const size_t n = run.models();
  if (n == 1) return write_combination(run, {1});
  const auto max_iterations = static_cast<uint64_t>(run.parameter(0));
  const double tolerance = run.parameter(1);
  const std::vector<double> gram = run.gram();
  const auto dot = [&](size_t i, size_t j) { return gram[gram_index(i, j, n)]; };
  std::vector<double> length(n);
  double mean_length = 0, valid = 0;
  for (size_t i = 0; i < n; i++) {
    length[i] = std::sqrt(dot(i, i));
    mean_length += length[i] / static_cast<double>(n);
    valid += length[i] > tolerance;
  }
  if (valid == 0) return write_combination(run, std::vector<double>(n, 0));
  const auto norm = [&](const std::vector<double>& a) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
      for (size_t j = 0; j < n; j++) sum += a[i] * a[j] * dot(i, j);
    }
    return std::sqrt(std::max(sum, 0.0));
  };
  const auto scale = [](std::vector<double>& a, double by) {
    for (double& value : a) value *= by;
  };
  // u = sum u_i x_i
  std::vector<double> u(n);
  for (size_t i = 0; i < n; i++) u[i] = length[i] > tolerance ? 1 / (valid * length[i]) : 0;
  const double start = norm(u);
  if (start < tolerance) {
    for (double& value : u) value = 0;
    size_t first = 0;
    while (!(length[first] > tolerance)) first++;
    u[first] = 1 / length[first];
  } else {
    scale(u, 1 / start);
  }
  for (uint64_t iteration = 0; iteration < max_iterations; iteration++) {
    std::vector<double> tangent(n);
    for (size_t i = 0; i < n; i++) {
      if (!(length[i] > tolerance)) continue;
      double cosine = 0;
      for (size_t j = 0; j < n; j++) cosine += u[j] * dot(i, j);
      cosine = clamp_cosine(cosine / length[i]);
      const double theta = std::acos(cosine);
      if (theta < tolerance) continue;
      if (kPi - theta < kAntipodal) {
        throw Error("ERR_MERGE",
                    "two models point in opposite directions: their Karcher mean is not defined; "
                    "leave one out or use linear");
      }
      const double factor = theta / std::sin(theta) / valid;
      tangent[i] += factor / length[i];
      for (size_t j = 0; j < n; j++) tangent[j] -= factor * cosine * u[j];
    }
    const double step = norm(tangent);
    if (step < tolerance) break;
    for (size_t i = 0; i < n; i++) u[i] = std::cos(step) * u[i] + std::sin(step) * tangent[i] / step;
    const double now = norm(u);
    if (now > 0) scale(u, 1 / now);
  }
  scale(u, mean_length);
  write_combination(run, u);
}

}  // namespace wisemerge

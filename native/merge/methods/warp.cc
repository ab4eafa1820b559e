// warp: the deltas are averaged on the sphere one after another, then taken by a share of their length (Rame
// et al., 2024, "WARP"). The partial averages are combinations of the deltas, so that their inner products
// follow from those of the deltas.
//
//   parameters: eta
#include "merge/arc.h"
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {

void merge_warp(TensorRun& run) {
  const size_t n = run.models();
  const std::vector<double> gram = run.gram();
  const auto dot = [&](size_t i, size_t j) { return gram[gram_index(i, j, n)]; };
  std::vector<double> mean(n);
  mean[0] = 1;
  for (size_t m = 1; m < n; m++) {
    double squared = 0, along = 0;
    for (size_t i = 0; i < m; i++) {
      along += mean[i] * dot(i, m);
      for (size_t j = 0; j < m; j++) squared += mean[i] * mean[j] * dot(i, j);
    }
    const double products[] = {std::max(squared, 0.0), along, dot(m, m)};
    const ArcCoefficients arc = nuslerp_coefficients(products, 1 / static_cast<double>(m + 1));
    for (size_t i = 0; i < m; i++) mean[i] *= arc.first;
    mean[m] = arc.second;
  }
  for (double& coefficient : mean) coefficient *= run.parameter(0);
  write_delta_sum(run, mean);
}

}  // namespace wisemerge

// slerp: along the great circle between the base and the other model, on the whole tensor as one vector;
// straight where the two are nearly parallel.
//
//   parameters: t; the base is v0, the other model v1
#include "merge/arc.h"
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {
namespace {

constexpr double kParallel = 0.9995;
constexpr double kShort = 1e-8;  // a norm that is not divided by

}  // namespace

void merge_slerp(TensorRun& run) {
  const double t = run.parameter(0);
  const auto base = static_cast<size_t>(run.job().base);
  run.set_base(-1);
  const std::vector<double> gram = run.gram();
  const size_t other = 1 - base;
  const auto length = [&](size_t i) {
    const double norm = std::sqrt(gram[gram_index(i, i, 2)]);
    return norm > kShort ? norm : 1;
  };
  const double cosine = clamp_cosine(gram[1] / length(0) / length(1));
  ArcCoefficients arc{1 - t, t};
  if (!(std::abs(cosine) > kParallel)) arc = arc_coefficients(std::acos(cosine), t);
  std::vector<double> coefficients(2);
  coefficients[base] = arc.first;
  coefficients[other] = arc.second;
  write_combination(run, coefficients);
}

}  // namespace wisemerge

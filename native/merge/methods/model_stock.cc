// model_stock: from the base towards the models' mean, as far as the angle between their deltas says (Jang,
// Yun and Han, 2024). By the whole tensor, or by vectors along the last axis.
//
//   parameters: filter_wise
#include "merge/arc.h"
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {
namespace {

constexpr double kShort = 1e-6;       // least product of norms that is divided by
constexpr double kDegenerate = 1e-6;  // a denominator of t that is as good as 0

// The share of the mean, from the inner products of the deltas.
double share_of_mean(const double* gram, size_t n, uint32_t& notes) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    for (size_t j = i + 1; j < n; j++) {
      const double norms = std::sqrt(gram[gram_index(i, i, n)]) * std::sqrt(gram[gram_index(j, j, n)]);
      sum += clamp_cosine(gram[gram_index(i, j, n)] / std::max(norms, kShort));
    }
  }
  const auto count = static_cast<double>(n);
  const double cosine = sum / (count * (count - 1) / 2);
  const double denominator = 1 + (count - 1) * cosine;
  if (!(std::abs(denominator) < kDegenerate)) return count * cosine / denominator;
  notes |= kNoteDegenerate;
  return 0;
}

}  // namespace

void merge_model_stock(TensorRun& run) {
  const size_t n = run.models();
  if (run.parameter(0) == 0) {
    const double t = share_of_mean(run.gram().data(), n, run.report.notes);
    return write_delta_sum(run, std::vector<double>(n, t / static_cast<double>(n)));
  }
  const std::vector<double> grams = run.gram(WM_AXIS_ROW);
  const size_t pairs = n * (n + 1) / 2;
  std::vector<double> coefficients;
  for (size_t at = 0; at < grams.size(); at += pairs) {
    const double t = share_of_mean(grams.data() + at, n, run.report.notes);
    coefficients.insert(coefficients.end(), n, t / static_cast<double>(n));
  }
  write_vectors(run, WM_AXIS_ROW, coefficients);
}

}  // namespace wisemerge

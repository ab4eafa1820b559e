// The task-vector family: base + lambda * mixture of the models' deltas, each sparsified and weighted, mixed
// by summing or by sign consensus: task_arithmetic (Ilharco et al., 2023), ties (Yadav et al., 2023), dare_*
// (Yu et al., 2024), breadcrumbs* (Davari and Belilovsky, 2024), della* (Deep, Bhardwaj and Poria, 2024).
//
//   parameters: sparsifier (Sparsifier below), consensus, normalize, rescale, lambda
//   per model:  weight, density, gamma (outliers) or epsilon (magprune)
//
// Rescaling restores a delta's L1 norm: sum |d| over that of what is kept. A model of weight or density 0 is
// as good as absent: whatever it holds, nothing of it is kept.
#include <algorithm>
#include <cmath>
#include <map>

#include "merge/combination.h"
#include "merge/methods.h"
#include "merge/selection.h"

namespace wisemerge {
namespace {

enum Sparsifier { kNone = 0, kMagnitude = 1, kRandom = 2, kOutliers = 3, kMagPrune = 4 };

constexpr double kNothing = 1e-7;  // a sum that is not divided by
// Masks of a whole tensor are kept up to this; above, they are made again in each sweep.
constexpr uint64_t kMaskBytes = 16u << 20;

struct Model {
  double weight, density, detail;
};

class Deltas {
 public:
  explicit Deltas(TensorRun& run) : run_(run), sparsifier_(static_cast<Sparsifier>(run.parameter(0))) {
    for (uint32_t i = 0; i < run.models(); i++) {
      const std::vector<double>& given = run.model(i).parameters;
      models_.push_back({given[0], given[1], given[2]});
    }
    choose();
  }

  const Model& model(size_t i) const { return models_[i]; }
  // Whether some of it is kept and some not.
  bool cut(size_t i) const { return present(i) && sparsifier_ != kNone && models_[i].density < 1; }
  bool whole() const {
    for (size_t i = 0; i < models_.size(); i++) {
      if (!present(i) || cut(i)) return false;
    }
    return true;
  }

  // What is kept in the range; valid until the next call.
  const std::vector<WmKeep>& keeps(const WmMergeInputs& inputs) {
    if (masked()) make_masks(inputs);
    return keeps_;
  }

  // By how much each delta is multiplied to have its norm again.
  std::vector<double> scales() {
    const size_t n = models_.size();
    if (whole()) return std::vector<double>(n, 1);
    std::vector<double> sums(n * kMergeSumColumns);
    if (!masked()) {
      sums = run_.sums(keeps_);
    } else {
      std::vector<double> rows;
      run_.each([&](const WmMergeInputs& inputs) {
        const uint64_t count = inputs.count / inputs.row;
        rows.assign(count * sums.size(), 0);
        run_.engine().merge_sums({inputs, keeps(inputs).data(), rows.data(), WM_AXIS_ROW}, run_.cancelled());
        for (size_t i = 0; i < rows.size(); i++) sums[i % sums.size()] += rows[i];
      });
    }
    std::vector<double> scales(n, 1);
    for (size_t i = 0; i < n; i++) {
      const double all = sums[i * kMergeSumColumns + kMergeSumMagnitude];
      const double kept = sums[i * kMergeSumColumns + kMergeSumKeptMagnitude];
      if (cut(i) && !(all < kNothing) && !(kept < kNothing)) scales[i] = all / kept;
    }
    return scales;
  }

 private:
  bool present(size_t i) const {
    return models_[i].weight != 0 && (sparsifier_ == kNone || models_[i].density > 0);
  }
  bool masked() const { return sparsifier_ == kMagPrune; }

  void choose() {
    const uint64_t count = run_.job().count;
    const auto share = [count](double of) { return static_cast<uint64_t>(of * static_cast<double>(count)); };
    keeps_.assign(models_.size(), keep_all());
    // Ranks from..to in ascending order of magnitude, of every model.
    std::vector<uint64_t> from(models_.size()), to(models_.size(), count);
    for (size_t i = 0; i < models_.size(); i++) {
      if (!present(i)) to[i] = 0;
      if (!cut(i)) continue;
      const Model& model = models_[i];
      if (sparsifier_ == kRandom) {
        keeps_[i].rule = WM_KEEP_RANDOM;
        keeps_[i].probability = model.density;
        keeps_[i].key = run_.random_key();
        keeps_[i].stream = static_cast<uint32_t>(i);
      } else if (sparsifier_ != kMagPrune) {
        const uint64_t kept = share(model.density);
        const uint64_t top = sparsifier_ == kOutliers ? std::min(share(model.detail), count - kept) : 0;
        if (kept == 0) run_.report.notes |= kNoteNothingKept;
        to[i] = count - top;
        from[i] = to[i] - kept;
      }
    }
    if (sparsifier_ == kOutliers) keeps_ = keep_between(run_, from, to);
    if (sparsifier_ == kMagnitude) {
      std::vector<uint64_t> kept;
      for (size_t i = 0; i < to.size(); i++) kept.push_back(to[i] - from[i]);
      keeps_ = keep_largest(run_, WM_SCORE_MAGNITUDE, kept);
    }
    for (size_t i = 0; i < models_.size(); i++) {
      if (!present(i)) keeps_[i] = keep_none();
    }
  }

  void make_masks(const WmMergeInputs& inputs) {
    const uint64_t all = (run_.job().count + 7) / 8 * models_.size();
    const bool remember = all <= kMaskBytes;
    std::vector<std::vector<uint8_t>>& masks = remember ? masks_[inputs.first] : current_;
    const bool known = remember && !masks.empty();
    masks.resize(models_.size());
    for (uint32_t i = 0; i < models_.size(); i++) {
      if (!cut(i)) continue;
      if (!known) {
        masks[i].assign((inputs.count + 7) / 8, 0);
        run_.engine().merge_rank_mask(
            {inputs, i, i, models_[i].density, models_[i].detail, run_.random_key(), masks[i].data()},
            run_.cancelled());
      }
      keeps_[i].rule = WM_KEEP_MASKED;
      keeps_[i].mask = masks[i].data();
    }
  }

  TensorRun& run_;
  const Sparsifier sparsifier_;
  std::vector<Model> models_;
  std::vector<WmKeep> keeps_;
  std::map<uint64_t, std::vector<std::vector<uint8_t>>> masks_;  // by the range's first element
  std::vector<std::vector<uint8_t>> current_;
};

}  // namespace

void merge_task_vectors(TensorRun& run) {
  const bool consensus = run.parameter(1) != 0, normalize = run.parameter(2) != 0;
  const bool rescale = run.parameter(3) != 0;
  const double lambda = run.parameter(4);
  const uint32_t n = run.models();
  Deltas deltas(run);
  std::vector<double> factors = rescale ? deltas.scales() : std::vector<double>(n, 1);
  std::vector<double> weights;
  double total = 0;
  for (uint32_t i = 0; i < n; i++) {
    weights.push_back(deltas.model(i).weight);
    factors[i] *= weights[i];
    total += weights[i];
  }
  if (!consensus) {
    for (double& factor : factors) factor *= normalize ? lambda / total : lambda;
    if (deltas.whole()) return write_delta_sum(run, factors);
  }
  run.write([&](WmMergeCombine& call) {
    call.keeps = deltas.keeps(call.inputs).data();
    if (!consensus) {
      call.operation = WM_MERGE_DELTA_SUM;
      call.weights = factors.data();
      return;
    }
    call.operation = WM_MERGE_CONSENSUS;
    call.weights = weights.data();
    call.factors = factors.data();
    call.parameters[0] = normalize;
    call.parameters[1] = lambda;
  });
}

}  // namespace wisemerge

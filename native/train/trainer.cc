#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/status.h"
#include "network/activations.h"
#include "train/feature_rows.h"

namespace wisemerge::train {

using namespace network;

Trainer::Trainer(const std::shared_ptr<Engine>& engine, const std::vector<uint64_t>& tensors,
                 std::vector<BatchProgram> programs, const OptimizerArrays& arrays,
                 const TrainerOptions& options)
    : options_(options),
      network_(engine, tensors, std::move(programs), arrays, options.threads),
      pool_(options.threads),
      labels_(network_.max_rows()) {}

StepsResult Trainer::train(const StepsCall& call, WmCancelFlag cancelled) {
  check(call.data);
  if (call.batch == 0 || call.batch > network_.max_rows()) {
    throw Error("ERR_INTERNAL_ARGUMENT", "a batch of " + std::to_string(call.batch) + " samples");
  }
  if (order_.size() != call.data.samples || ordered_ != call.sampling ||
      ordered_labels_ != call.data.labels) {
    order_ = epoch_order(call.data.labels, call.data.samples, call.sampling);
    ordered_ = call.sampling;
    ordered_labels_ = call.data.labels;
  }
  const uint64_t batches = (call.data.samples + call.batch - 1) / call.batch;
  if (call.first > batches || call.rates.size() > batches - call.first) {
    throw Error("ERR_INTERNAL_ARGUMENT", "steps beyond the end of the epoch");
  }
  StepsResult result;
  for (uint64_t step = 0; step < call.rates.size(); step++) {
    stop_if_cancelled(cancelled);
    const uint64_t first = (call.first + step) * call.batch;
    const uint64_t rows = std::min(call.batch, call.data.samples - first);
    gather(call.data, order_.data() + first, 0, rows);
    float* const logits = network_.forward(rows, cancelled);
    const LossSums sums = cross_entropy(pool_, logits, labels_.data(), rows, network_.outputs(),
                                        options_.label_smoothing, true, losses_);
    double norm = sums.loss;
    if (std::isfinite(sums.loss)) {
      network_.backward(rows, cancelled);
      norm = network_.gradient_norm(cancelled);
    }
    if (!std::isfinite(norm)) {
      result.diverged = step;
      return result;
    }
    // As torch.nn.utils.clip_grad_norm_: the small number keeps a norm of 0 from dividing.
    const double scale = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1.0;
    network_.update(adamw_factors(options_.adamw, call.rates[step], call.updates + step + 1, scale));
    result.losses.push_back(sums.loss);
    result.correct += sums.correct;
    result.samples += rows;
    result.largest_norm = std::max(result.largest_norm, norm);
  }
  return result;
}

LossSums Trainer::evaluate(const TrainingData& data, WmCancelFlag cancelled) {
  check(data);
  LossSums total;
  for (uint64_t first = 0; first < data.samples; first += network_.max_rows()) {
    stop_if_cancelled(cancelled);
    const uint64_t rows = std::min(network_.max_rows(), data.samples - first);
    gather(data, nullptr, first, rows);
    float* const logits = network_.forward(rows, cancelled);
    const LossSums sums =
        cross_entropy(pool_, logits, labels_.data(), rows, network_.outputs(), 0, false, losses_);
    total.loss += sums.loss;
    total.correct += sums.correct;
  }
  return total;
}

void Trainer::check(const TrainingData& data) const {
  check_features(data.dimension, data.dtype, network_.inputs());
}

void Trainer::gather(const TrainingData& data, const uint32_t* order, uint64_t first, uint64_t rows) {
  for (uint64_t i = 0; i < rows; i++) {
    const int32_t label = data.labels[order ? order[i] : first + i];
    if (label < 0 || static_cast<uint64_t>(label) >= network_.outputs()) {
      throw Error("ERR_INTERNAL_RANGE", "label " + std::to_string(label) + " is not a class");
    }
    labels_[i] = label;
  }
  pool_.parallel_for(rows, grain_of(data.dimension), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const uint64_t sample = order ? order[i] : first + i;
      widen_row(data.dtype, data.features, sample, data.dimension, network_.input() + i * data.dimension);
    }
  });
}

}  // namespace wisemerge::train

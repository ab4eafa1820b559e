// A network under training: programs over one flat f32 array of parameters, with their forward passes and the
// gradient of a loss by reverse-mode differentiation (Linnainmaa, 1970).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "network/ops.h"
#include "train/training_device.h"

namespace wisemerge::train {

class TrainedNetwork {
 public:
  // Parameter p of the programs is the `tensors[p]` numbers of arrays.parameters that follow those of p - 1.
  // Throws ERR_INTERNAL_ARGUMENT unless the tensors fill the arrays and programs are sound, of one
  // network, of different sizes, and can be differentiated.
  //
  // `arrays` are the caller's. A device with memory of its own reads them in the first call of forward(), and
  // they have what it made of them behind store().
  TrainedNetwork(const std::shared_ptr<Engine>& engine, const std::vector<uint64_t>& tensors,
                 std::vector<BatchProgram> programs, const OptimizerArrays& arrays, int threads);

  TrainedNetwork(const TrainedNetwork&) = delete;
  TrainedNetwork& operator=(const TrainedNetwork&) = delete;

  uint64_t inputs() const { return inputs_; }
  uint64_t outputs() const { return outputs_; }
  // Of the largest program.
  uint64_t max_rows() const { return max_rows_; }

  // [max_rows, inputs], row-major: the caller puts a batch here before forward().
  float* input() { return input_.data(); }

  // Logits, [rows, outputs]. Throws ERR_INTERNAL_ARGUMENT where no program has this many samples, and as
  // Engine.
  float* forward(uint64_t rows, WmCancelFlag cancelled);

  // After forward() for the same batch, with the gradient of the loss by the logits in the array that
  // forward() returned. The gradient is laid out as the parameters; those that no logit depends on get 0.
  void backward(uint64_t rows, WmCancelFlag cancelled);
  double gradient_norm(WmCancelFlag cancelled) { return device_->gradient_norm(cancelled); }
  void read_gradient(float* to, WmCancelFlag cancelled) { device_->read_gradient(to, cancelled); }

  // Of parameters and moments, by the gradient.
  void update(const WmAdamW& factors) { device_->update(factors); }
  // Parameters and moments to the caller's arrays.
  void store(WmCancelFlag cancelled) { device_->store(cancelled); }

 private:
  const PlannedBatch& of(uint64_t rows) const;

  std::vector<network::Parameter> tensors_;
  std::vector<uint64_t> starts_;  // of each tensor
  std::vector<PlannedBatch> programs_;
  uint64_t inputs_ = 0, outputs_ = 0, max_rows_ = 0;
  std::vector<float> input_;
  std::unique_ptr<TrainingDevice> device_;
};

}  // namespace wisemerge::train

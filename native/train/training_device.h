// Where a network is trained: its parameters, gradients and moments, and the values of a batch.
// TrainedNetwork goes through it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "network/ops.h"
#include "train/adamw.h"
#include "train/gradient_plan.h"

namespace wisemerge::train {

// The network for one size of batch. `input` is a value kFloats, whose memory is not the program's matter;
// `output` is computed: a row of logits for each sample.
struct BatchProgram {
  uint64_t samples;
  uint32_t input, output;
  network::Program program;
};

struct PlannedBatch {
  BatchProgram batch;
  GradientPlan plan;
};

class TrainingDevice {
 public:
  virtual ~TrainingDevice() = default;

  // All throw as Engine. Logits of the batch whose samples lie in its input's memory, [samples, outputs];
  // until the next call.
  virtual float* forward(const PlannedBatch& planned, WmCancelFlag cancelled) = 0;
  // After forward() of the same batch, with the gradient of the loss by the logits in their place.
  virtual void backward(const PlannedBatch& planned, WmCancelFlag cancelled) = 0;
  // Of all parameters; Euclidean, summed in f64.
  virtual double gradient_norm(WmCancelFlag cancelled) = 0;
  virtual void update(const WmAdamW& factors) = 0;
  // Parameters and moments to the caller's arrays.
  virtual void store(WmCancelFlag cancelled) = 0;
  virtual void read_gradient(float* to, WmCancelFlag cancelled) = 0;
};

// That of the engine. All but `threads` outlive it. `starts` are those of the tensors in the arrays.
std::unique_ptr<TrainingDevice> open_training(const std::shared_ptr<Engine>& engine,
                                              const std::vector<network::Parameter>& parameters,
                                              const std::vector<uint64_t>& starts,
                                              const OptimizerArrays& arrays,
                                              std::vector<PlannedBatch>& programs, int threads);

}  // namespace wisemerge::train

// Training on the CPU, in the caller's arrays.
#pragma once

#include "core/float_array.h"
#include "core/thread_pool.h"
#include "network/network.h"
#include "train/training_device.h"

namespace wisemerge::train {

class HostTraining : public TrainingDevice {
 public:
  HostTraining(std::shared_ptr<Engine> engine, const std::vector<network::Parameter>& parameters,
               const std::vector<uint64_t>& starts, const OptimizerArrays& arrays,
               std::vector<PlannedBatch>& programs, int threads);

  float* forward(const PlannedBatch& planned, WmCancelFlag cancelled) override;
  void backward(const PlannedBatch& planned, WmCancelFlag cancelled) override;
  double gradient_norm(WmCancelFlag cancelled) override;
  void update(const WmAdamW& factors) override;
  void store(WmCancelFlag) override {}
  void read_gradient(float* to, WmCancelFlag cancelled) override;

 private:
  const std::shared_ptr<Engine> engine_;
  const std::vector<uint64_t>& starts_;
  const OptimizerArrays arrays_;
  network::Network network_;
  ThreadPool pool_;
  FloatArray memory_;  // of values and gradients, for one program at a time
  float* base_;
  std::vector<float> gradient_;
};

}  // namespace wisemerge::train

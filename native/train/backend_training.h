// Training in a device's own memory, by a backend that trains networks (backend_network.h). Batches go up,
// logits come down and their gradients go up; all else stays there until store().
#pragma once

#include <optional>

#include "core/float_array.h"
#include "network/memory_plan.h"
#include "train/reverse_pass.h"
#include "train/training_device.h"

namespace wisemerge::train {

class BackendTraining : public TrainingDevice, private GradientDevice {
 public:
  BackendTraining(std::shared_ptr<Engine> engine, const std::vector<network::Parameter>& parameters,
                  const OptimizerArrays& arrays);
  ~BackendTraining() override;
  BackendTraining(const BackendTraining&) = delete;
  BackendTraining& operator=(const BackendTraining&) = delete;

  float* forward(const PlannedBatch& planned, WmCancelFlag cancelled) override;
  void backward(const PlannedBatch& planned, WmCancelFlag cancelled) override;
  double gradient_norm(WmCancelFlag cancelled) override;
  void update(const WmAdamW& factors) override;
  void store(WmCancelFlag cancelled) override;
  void read_gradient(float* to, WmCancelFlag cancelled) override;

 private:
  void open(WmCancelFlag cancelled);
  void begin(WmCancelFlag cancelled);
  float* run(WmCancelFlag cancelled);
  // Calls body(); where it throws, nothing touches memory of the host any more.
  template <class Body>
  auto guard(const Body& body);
  // Byte offsets in the network's memory: of values, then of gradients. WM_NO_VALUE: none.
  uint64_t value(uint32_t id) const;
  uint64_t gradient(uint64_t place) const;
  void reverse(size_t at, const GradientPlaces& places, WmCancelFlag cancelled) override;

  const std::shared_ptr<Engine> engine_;
  const std::vector<network::Parameter>& parameters_;
  const OptimizerArrays arrays_;
  WmNetwork* network_ = nullptr;  // opened by the first batch: the arrays are filled by then
  bool trained_ = false;
  const PlannedBatch* running_ = nullptr;
  std::optional<network::MemoryPlan> memory_;  // of the running program's values
  FloatArray logits_;
};

}  // namespace wisemerge::train

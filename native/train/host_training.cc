#include "train/host_training.h"

#include <algorithm>
#include <utility>

#include "train/host_gradients.h"

namespace wisemerge::train {

using namespace network;

HostTraining::HostTraining(std::shared_ptr<Engine> engine, const std::vector<Parameter>& parameters,
                           const std::vector<uint64_t>& starts, const OptimizerArrays& arrays,
                           std::vector<PlannedBatch>& programs, int threads)
    : engine_(std::move(engine)),
      starts_(starts),
      arrays_(arrays),
      network_(engine_, parameters, threads, ProductWay::kAuto),
      pool_(threads),
      gradient_(arrays.count) {
  uint64_t floats = 1;
  for (const PlannedBatch& planned : programs) floats = std::max(floats, planned.plan.floats);
  base_ = memory_.reserve(floats);
  for (auto& [batch, plan] : programs) {
    for (size_t id = 0; id < plan.kept.size(); id++) {
      if (plan.kept[id] != GradientPlan::kNowhere) batch.program.values[id].memory = base_ + plan.kept[id];
    }
  }
}

float* HostTraining::forward(const PlannedBatch& planned, WmCancelFlag cancelled) {
  network_.run(planned.batch.program, {1, std::vector<double>(starts_.size())}, cancelled);
  return base_ + planned.plan.kept[planned.batch.output];
}

void HostTraining::backward(const PlannedBatch& planned, WmCancelFlag cancelled) {
  std::fill(gradient_.begin(), gradient_.end(), 0.0f);
  const auto& [batch, plan] = planned;
  HostGradients gradients(*engine_, pool_, batch.program, base_, plan.spare,
                          {network_.parameters(), starts_, gradient_.data()});
  run_reverse_pass(gradients, batch.program, plan, batch.output, cancelled);
}

double HostTraining::gradient_norm(WmCancelFlag) {
  return global_norm(pool_, gradient_.data(), gradient_.size());
}

void HostTraining::update(const WmAdamW& factors) { adamw_update(pool_, factors, gradient_.data(), arrays_); }

void HostTraining::read_gradient(float* to, WmCancelFlag) {
  std::copy(gradient_.begin(), gradient_.end(), to);
}

}  // namespace wisemerge::train

// Operations on the CPU, in the caller's memory and that of values between.
#pragma once

#include "core/float_array.h"
#include "core/thread_pool.h"
#include "network/device.h"

namespace wisemerge::network {

class HostDevice : public Device {
 public:
  HostDevice(std::shared_ptr<Engine> engine, const std::vector<Parameter>& parameters, int threads,
             ProductWay way);

  MemoryPlan::Memory memory() const override { return MemoryPlan::Memory::kCallers; }
  void begin(const Running& running, WmCancelFlag cancelled) override;
  void run(const Running& running, size_t at, uint64_t candidate, const double* alphas,
           WmCancelFlag cancelled) override;
  void finish(const Running&, WmCancelFlag) override {}
  void leave() noexcept override {}

 private:
  const std::shared_ptr<Engine> engine_;
  const std::vector<Parameter>& parameters_;
  ThreadPool pool_;
  Weights weights_;
  FloatArray activations_;
};

}  // namespace wisemerge::network

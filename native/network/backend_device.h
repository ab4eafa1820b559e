// Operations in a device's own memory, by a backend that has networks: given values go there before the first
// operation, wanted ones come back behind the last.
#pragma once

#include "network/device.h"

namespace wisemerge::network {

class BackendDevice : public Device {
 public:
  BackendDevice(std::shared_ptr<Engine> engine, const std::vector<Parameter>& parameters, ProductWay way);
  ~BackendDevice() override;
  BackendDevice(const BackendDevice&) = delete;
  BackendDevice& operator=(const BackendDevice&) = delete;

  MemoryPlan::Memory memory() const override { return MemoryPlan::Memory::kOwn; }
  void begin(const Running& running, WmCancelFlag cancelled) override;
  void run(const Running& running, size_t at, uint64_t candidate, const double* alphas,
           WmCancelFlag cancelled) override;
  void finish(const Running& running, WmCancelFlag cancelled) override;
  void leave() noexcept override;

 private:
  const std::shared_ptr<Engine> engine_;
  const std::vector<Parameter>& parameters_;
  const ProductWay way_;
  WmNetwork* network_ = nullptr;  // opened by the first program: a device takes its time
};

}  // namespace wisemerge::network

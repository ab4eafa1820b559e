// Where a program's operations run. Network goes through them; a device has their values and kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "network/memory_plan.h"
#include "network/ops.h"
#include "network/weights.h"

namespace wisemerge::network {

// A program at several points, from begin() to finish().
struct Running {
  const Program& program;
  const MemoryPlan& plan;
  uint64_t candidates;
};

class Device {
 public:
  virtual ~Device() = default;

  // What programs are planned for.
  virtual MemoryPlan::Memory memory() const = 0;

  // Throw as Engine. begin() makes room for the values of a program.
  virtual void begin(const Running& running, WmCancelFlag cancelled) = 0;
  // Operation `at` for one candidate, whose alphas are one per parameter. Candidates of an operation come one
  // behind the other.
  virtual void run(const Running& running, size_t at, uint64_t candidate, const double* alphas,
                   WmCancelFlag cancelled) = 0;
  // Behind the last operation: the results are where the caller wants them.
  virtual void finish(const Running& running, WmCancelFlag cancelled) = 0;
  // Behind a program that is left off: nothing touches the caller's memory any more.
  virtual void leave() noexcept = 0;
};

// That of the engine. `threads` and `parameters` as Network takes them; both outlive it.
std::unique_ptr<Device> open_device(const std::shared_ptr<Engine>& engine,
                                    const std::vector<Parameter>& parameters, int threads, ProductWay way);

}  // namespace wisemerge::network

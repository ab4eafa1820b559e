// Evaluates a network at several points of the path between two models, for one batch of inputs.
//
// The merged model never exists: an operation's weights are interpolated when the operation runs, for one
// candidate after the other, while both ends are in the caches. Memory for K candidates is K times the live
// activations, and nothing else grows with K. A candidate's results have the same bits whatever other
// candidates, threads or samples are computed beside it.
#pragma once

#include <memory>
#include <vector>

#include "core/engine.h"
#include "network/device.h"
#include "network/ops.h"
#include "network/weights.h"

namespace wisemerge::network {

struct Points {
  uint64_t candidates;
  std::vector<double> alphas;  // [candidates, parameters]
};

class Network {
 public:
  // `threads` 0 means all CPUs. The parameters' memory must outlive the network.
  Network(std::shared_ptr<Engine> engine, std::vector<Parameter> parameters, int threads, ProductWay way);

  const std::vector<Parameter>& parameters() const { return parameters_; }

  // Throws as check_program and Engine; ERR_INTERNAL_ARGUMENT where the points are not those of the
  // parameters.
  void run(const Program& program, const Points& points, WmCancelFlag cancelled);

 private:
  void run_operations(const Running& running, const Points& points, WmCancelFlag cancelled);

  const std::vector<Parameter> parameters_;
  const std::unique_ptr<Device> device_;
};

}  // namespace wisemerge::network

#include "network/network.h"

#include <string>
#include <utility>

#include "core/status.h"

namespace wisemerge::network {

Network::Network(std::shared_ptr<Engine> engine, std::vector<Parameter> parameters, int threads,
                 ProductWay way)
    : parameters_(std::move(parameters)), device_(open_device(engine, parameters_, threads, way)) {}

void Network::run(const Program& program, const Points& points, WmCancelFlag cancelled) {
  check_program(program, parameters_);
  if (points.candidates == 0 || points.alphas.size() / points.candidates != parameters_.size() ||
      points.alphas.size() % points.candidates != 0) {
    throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(points.alphas.size()) + " alphas for " +
                                             std::to_string(points.candidates) + " candidates of " +
                                             std::to_string(parameters_.size()) + " parameters");
  }
  const MemoryPlan plan(program, points.candidates, device_->memory());
  const Running running{program, plan, points.candidates};
  try {
    device_->begin(running, cancelled);
    run_operations(running, points, cancelled);
    device_->finish(running, cancelled);
  } catch (...) {
    device_->leave();
    throw;
  }
}

void Network::run_operations(const Running& running, const Points& points, WmCancelFlag cancelled) {
  for (size_t at = 0; at < running.program.ops.size(); at++) {
    const bool shared = running.plan.places[running.program.ops[at].out].shared;
    for (uint64_t k = 0; k < (shared ? 1 : points.candidates); k++) {
      if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0) {
        throw Error("ERR_ABORTED", "evaluation was aborted");
      }
      device_->run(running, at, k, points.alphas.data() + k * parameters_.size(), cancelled);
    }
  }
}

}  // namespace wisemerge::network

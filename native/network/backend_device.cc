#include "network/backend_device.h"

#include <utility>

#include "core/status.h"
#include "network/backend_operation.h"
#include "network/host_device.h"
#include "network/memory_parts.h"
#include "network/similarity.h"

namespace wisemerge::network {
namespace {

static_assert(kNone == WM_NO_PARAMETER && MemoryPlan::kElsewhere == WM_NO_VALUE);
static_assert(static_cast<int>(ProductWay::kFused) == WM_WAY_FUSED &&
              static_cast<int>(ProductWay::kScratch) == WM_WAY_SCRATCH);

// Bytes from the beginning of the network's memory.
uint64_t offset_of(const Running& running, uint32_t id, uint64_t candidate) {
  if (id == kNone) return WM_NO_VALUE;
  const MemoryPlan::Place& place = running.plan.places[id];
  const uint64_t array = place.shared ? 0 : candidate;
  return (place.offset + array * whole_lines(running.program.values[id].count)) * sizeof(float);
}

// The arrays of the values that `wanted` says, between the caller's memory and the device's.
template <class Wanted>
std::vector<WmTransfer> transfers(const Running& running, const Wanted& wanted) {
  std::vector<WmTransfer> all;
  for (uint32_t id = 0; id < running.program.values.size(); id++) {
    const Value& value = running.program.values[id];
    const MemoryPlan::Place& place = running.plan.places[id];
    if (!value.memory || place.offset == MemoryPlan::kElsewhere || !wanted(value)) continue;
    const uint64_t bytes = value.count * sizeof(float);
    for (uint64_t k = 0; k < (place.shared ? 1 : running.candidates); k++) {
      all.push_back({static_cast<uint8_t*>(value.memory) + k * bytes, offset_of(running, id, k), bytes});
    }
  }
  return all;
}

}  // namespace

BackendDevice::BackendDevice(std::shared_ptr<Engine> engine, const std::vector<Parameter>& parameters,
                             ProductWay way)
    : engine_(std::move(engine)), parameters_(parameters), way_(way) {}

BackendDevice::~BackendDevice() {
  if (network_) engine_->network_close(network_);
}

void BackendDevice::begin(const Running& running, WmCancelFlag cancelled) {
  if (!network_) {
    std::vector<WmParameter> table;
    for (const Parameter& parameter : parameters_) table.push_back(backend_parameter(parameter));
    network_ = engine_->network_open(table, static_cast<WmProductWay>(way_));
  }
  std::vector<WmOperation> operations;
  for (const Op& op : running.program.ops) operations.push_back(backend_operation(op));
  const std::vector<WmTransfer> inputs =
      transfers(running, [](const Value& value) { return value.source != Value::Source::kComputed; });
  const WmProgram program{static_cast<uint32_t>(operations.size()), static_cast<uint32_t>(inputs.size()),
                          operations.data(), inputs.data(), running.plan.floats * sizeof(float)};
  engine_->network_begin(network_, program, cancelled);
}

void BackendDevice::run(const Running& running, size_t at, uint64_t candidate, const double* alphas,
                        WmCancelFlag cancelled) {
  const Op& op = running.program.ops[at];
  WmOperands operands{};
  for (size_t i = 0; i < kOpValues; i++) operands.value[i] = offset_of(running, op.value[i], candidate);
  for (size_t i = 0; i < kOpParameters; i++) {
    if (op.parameter[i] != kNone) operands.alpha[i] = alphas[op.parameter[i]];
  }
  operands.out = offset_of(running, op.out, candidate);
  operands.real = op.kind == OpKind::kSimilarity
                      ? static_cast<double>(similarity_scale(parameters_[op.parameter[0]], operands.alpha[0]))
                      : op.real;
  engine_->network_operate(network_, static_cast<uint32_t>(at), operands, cancelled);
}

void BackendDevice::finish(const Running& running, WmCancelFlag cancelled) {
  const auto results =
      transfers(running, [](const Value& value) { return value.source == Value::Source::kComputed; });
  engine_->network_finish(network_, results, cancelled);
}

void BackendDevice::leave() noexcept {
  try {
    if (network_) engine_->network_finish(network_, {}, nullptr);
  } catch (const Error&) {  // the one that the program was left off for is told
  }
}

std::unique_ptr<Device> open_device(const std::shared_ptr<Engine>& engine,
                                    const std::vector<Parameter>& parameters, int threads, ProductWay way) {
  if (engine->has_networks()) return std::make_unique<BackendDevice>(engine, parameters, way);
  return std::make_unique<HostDevice>(engine, parameters, threads, way);
}

}  // namespace wisemerge::network

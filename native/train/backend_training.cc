#include "train/backend_training.h"

#include <utility>

#include "core/status.h"
#include "network/backend_operation.h"
#include "train/feature_rows.h"
#include "train/host_training.h"

namespace wisemerge::train {

using namespace network;

BackendTraining::BackendTraining(std::shared_ptr<Engine> engine, const std::vector<Parameter>& parameters,
                                 const OptimizerArrays& arrays)
    : engine_(std::move(engine)), parameters_(parameters), arrays_(arrays) {}

BackendTraining::~BackendTraining() {
  if (network_) engine_->network_close(network_);
}

void BackendTraining::open(WmCancelFlag cancelled) {
  if (!network_) {
    std::vector<WmParameter> table;
    for (const Parameter& parameter : parameters_) table.push_back(backend_parameter(parameter));
    network_ = engine_->network_open(table, WM_WAY_AUTO);
  }
  if (trained_) return;
  engine_->network_train(
      network_, {arrays_.count, arrays_.parameters, arrays_.first_moment, arrays_.second_moment}, cancelled);
  trained_ = true;
}

template <class Body>
auto BackendTraining::guard(const Body& body) {
  try {
    return body();
  } catch (...) {
    try {
      engine_->network_finish(network_, {}, nullptr);
    } catch (const Error&) {  // the first one is told
    }
    throw;
  }
}

float* BackendTraining::forward(const PlannedBatch& planned, WmCancelFlag cancelled) {
  open(cancelled);
  if (running_ != &planned) {
    memory_.emplace(planned.batch.program, 1, MemoryPlan::Memory::kOwn, planned.plan.read);
    running_ = &planned;
  }
  return guard([&] {
    begin(cancelled);
    return run(cancelled);
  });
}

float* BackendTraining::run(WmCancelFlag cancelled) {
  const BatchProgram& batch = running_->batch;
  const Program& program = batch.program;
  for (size_t at = 0; at < program.ops.size(); at++) {
    stop_if_cancelled(cancelled);
    const Op& op = program.ops[at];
    WmOperands operands{};
    for (size_t i = 0; i < kOpValues; i++) operands.value[i] = value(op.value[i]);
    operands.out = value(op.out);
    operands.real = op.real;
    engine_->network_operate(network_, static_cast<uint32_t>(at), operands, cancelled);
  }
  const uint64_t count = program.values[batch.output].count;
  float* const logits = logits_.reserve(count);
  engine_->network_finish(network_, {{logits, value(batch.output), count * sizeof(float)}}, cancelled);
  return logits;
}

void BackendTraining::begin(WmCancelFlag cancelled) {
  const auto& [batch, plan] = *running_;
  const Program& program = batch.program;
  std::vector<WmOperation> operations;
  for (const Op& op : program.ops) operations.push_back(backend_operation(op));
  std::vector<WmTransfer> inputs;
  for (uint32_t id = 0; id < program.values.size(); id++) {
    const Value& given = program.values[id];
    if (given.source == Value::Source::kComputed || value(id) == WM_NO_VALUE) continue;
    inputs.push_back({given.memory, value(id), given.count * sizeof(float)});
  }
  const uint64_t floats = memory_->floats + (plan.floats - plan.first_gradient);
  engine_->network_begin(network_,
                         {static_cast<uint32_t>(operations.size()), static_cast<uint32_t>(inputs.size()),
                          operations.data(), inputs.data(), floats * sizeof(float)},
                         cancelled);
}

uint64_t BackendTraining::value(uint32_t id) const {
  if (id == kNone || memory_->places[id].offset == MemoryPlan::kElsewhere) return WM_NO_VALUE;
  return memory_->places[id].offset * sizeof(float);
}

// That by the output lies where the output was.
uint64_t BackendTraining::gradient(uint64_t place) const {
  const auto& [batch, plan] = *running_;
  if (place == GradientPlaces::kNowhere) return WM_NO_VALUE;
  if (place < plan.first_gradient) return value(batch.output);
  return (memory_->floats + place - plan.first_gradient) * sizeof(float);
}

void BackendTraining::backward(const PlannedBatch& planned, WmCancelFlag cancelled) {
  const auto& batch = planned.batch;
  const auto& plan = planned.plan;
  const uint64_t bytes = batch.program.values[batch.output].count * sizeof(float);
  float* const logits = logits_.reserve(batch.program.values[batch.output].count);
  guard([&] {
    engine_->network_reverse_begin(network_, {{logits, value(batch.output), bytes}}, cancelled);
    run_reverse_pass(*this, batch.program, plan, batch.output, cancelled);
  });
}

void BackendTraining::reverse(size_t at, const GradientPlaces& places, WmCancelFlag cancelled) {
  const auto& [batch, plan] = *running_;
  const Op& op = batch.program.ops[at];
  WmReverse operands{};
  for (size_t i = 0; i < kOpValues; i++) {
    operands.value[i] = value(op.value[i]);
    operands.value_gradient[i] = gradient(places.value[i]);
    operands.add[i] = places.add[i];
  }
  operands.out_gradient = gradient(places.out);
  operands.spare = gradient(plan.spare);
  operands.real = op.real;
  engine_->network_reverse(network_, static_cast<uint32_t>(at), operands, cancelled);
}

double BackendTraining::gradient_norm(WmCancelFlag cancelled) {
  return engine_->network_norm(network_, cancelled);
}

void BackendTraining::update(const WmAdamW& factors) { engine_->network_update(network_, factors); }

void BackendTraining::store(WmCancelFlag cancelled) {
  if (!trained_) return;
  engine_->network_read(network_, WM_PARAMETERS, arrays_.parameters, cancelled);
  engine_->network_read(network_, WM_FIRST_MOMENT, arrays_.first_moment, cancelled);
  engine_->network_read(network_, WM_SECOND_MOMENT, arrays_.second_moment, cancelled);
}

void BackendTraining::read_gradient(float* to, WmCancelFlag cancelled) {
  engine_->network_read(network_, WM_GRADIENT, to, cancelled);
}

std::unique_ptr<TrainingDevice> open_training(const std::shared_ptr<Engine>& engine,
                                              const std::vector<Parameter>& parameters,
                                              const std::vector<uint64_t>& starts,
                                              const OptimizerArrays& arrays,
                                              std::vector<PlannedBatch>& programs, int threads) {
  if (engine->has_training()) return std::make_unique<BackendTraining>(engine, parameters, arrays);
  return std::make_unique<HostTraining>(engine, parameters, starts, arrays, programs, threads);
}

}  // namespace wisemerge::train

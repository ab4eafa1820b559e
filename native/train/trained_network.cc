#include "train/trained_network.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/status.h"
#include "train/feature_rows.h"
#include "train/reverse_pass.h"

namespace wisemerge::train {

using namespace network;

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error("ERR_INTERNAL_ARGUMENT", "a network to train: " + why);
}

std::vector<Parameter> parameters_at(const float* parameters, const std::vector<uint64_t>& tensors) {
  std::vector<Parameter> all;
  for (const uint64_t count : tensors) {
    all.push_back({count, DType::kF32, DType::kF32, parameters, nullptr});
    parameters += count;
  }
  return all;
}

// Numbers per sample of value `id`.
uint64_t width_of(const BatchProgram& batch, uint32_t id, Value::Source source) {
  if (batch.samples == 0) refuse("batches without samples");
  if (id >= batch.program.values.size()) refuse("no input or output");
  const Value& value = batch.program.values[id];
  if (value.source != source || value.count == 0 || value.count % batch.samples != 0) {
    refuse("an input or output that is not a row for each sample");
  }
  return value.count / batch.samples;
}

}  // namespace

TrainedNetwork::TrainedNetwork(std::shared_ptr<Engine> engine, const std::vector<uint64_t>& tensors,
                               std::vector<BatchProgram> programs, const float* parameters, int threads)
    : engine_(std::move(engine)),
      network_(engine_, parameters_at(parameters, tensors), threads, ProductWay::kAuto),
      pool_(threads) {
  if (programs.empty()) refuse("no programs");
  for (const uint64_t count : tensors) {
    starts_.push_back(parameters_);
    parameters_ += count;
  }
  for (const BatchProgram& batch : programs) {
    const uint64_t inputs = width_of(batch, batch.input, Value::Source::kFloats);
    const uint64_t outputs = width_of(batch, batch.output, Value::Source::kComputed);
    if (inputs_ != 0 && (inputs != inputs_ || outputs != outputs_)) refuse("programs of different networks");
    inputs_ = inputs;
    outputs_ = outputs;
    max_rows_ = std::max(max_rows_, batch.samples);
  }
  input_.resize(max_rows_ * inputs_);
  uint64_t floats = 0;
  for (BatchProgram& batch : programs) {
    batch.program.values[batch.input].memory = input_.data();
    check_program(batch.program, network_.parameters());
    GradientPlan plan(batch.program, batch.output);
    floats = std::max(floats, plan.floats);
    programs_.push_back({std::move(batch), std::move(plan)});
  }
  base_ = memory_.reserve(std::max<uint64_t>(floats, 1));
  for (auto& [batch, plan] : programs_) {
    for (size_t id = 0; id < plan.kept.size(); id++) {
      if (plan.kept[id] != GradientPlan::kNowhere) batch.program.values[id].memory = base_ + plan.kept[id];
    }
  }
}

TrainedNetwork::Planned& TrainedNetwork::of(uint64_t rows) {
  const auto found = std::find_if(programs_.begin(), programs_.end(),
                                  [&](const Planned& planned) { return planned.batch.samples == rows; });
  if (found == programs_.end()) refuse("no program for " + std::to_string(rows) + " samples");
  return *found;
}

float* TrainedNetwork::forward(uint64_t rows, WmCancelFlag cancelled) {
  const auto& [batch, plan] = of(rows);
  network_.run(batch.program, {1, std::vector<double>(starts_.size())}, cancelled);
  return base_ + plan.kept[batch.output];
}

void TrainedNetwork::backward(uint64_t rows, float* gradient, WmCancelFlag cancelled) {
  const auto& [batch, plan] = of(rows);
  std::fill_n(gradient, parameters_, 0.0f);
  ReversePass(*engine_, pool_, batch.program, plan, base_, {network_.parameters(), starts_, gradient})
      .run(batch.output, cancelled);
}

}  // namespace wisemerge::train

#include "train/trained_network.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/status.h"

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

TrainedNetwork::TrainedNetwork(const std::shared_ptr<Engine>& engine, const std::vector<uint64_t>& tensors,
                               std::vector<BatchProgram> programs, const OptimizerArrays& arrays, int threads)
    : tensors_(parameters_at(arrays.parameters, tensors)) {
  if (programs.empty()) refuse("no programs");
  uint64_t count = 0;
  for (const uint64_t tensor : tensors) {
    starts_.push_back(count);
    if (__builtin_add_overflow(count, tensor, &count)) refuse("tensors that exceed the address space");
  }
  if (count != arrays.count) {
    refuse("tensors of " + std::to_string(count) + " in " + std::to_string(arrays.count) + " parameters");
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
  for (BatchProgram& batch : programs) {
    batch.program.values[batch.input].memory = input_.data();
    check_program(batch.program, tensors_);
    GradientPlan plan(batch.program, batch.output);
    programs_.push_back({std::move(batch), std::move(plan)});
  }
  device_ = open_training(engine, tensors_, starts_, arrays, programs_, threads);
}

const PlannedBatch& TrainedNetwork::of(uint64_t rows) const {
  const auto found = std::find_if(programs_.begin(), programs_.end(),
                                  [&](const PlannedBatch& planned) { return planned.batch.samples == rows; });
  if (found == programs_.end()) refuse("no program for " + std::to_string(rows) + " samples");
  return *found;
}

float* TrainedNetwork::forward(uint64_t rows, WmCancelFlag cancelled) {
  return device_->forward(of(rows), cancelled);
}

void TrainedNetwork::backward(uint64_t rows, WmCancelFlag cancelled) {
  device_->backward(of(rows), cancelled);
}

}  // namespace wisemerge::train

#include "cuda/network.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "cuda/calls.h"
#include "cuda/failure.h"
#include "cuda/network_gradients.h"
#include "cuda/slot.h"
#include "cuda/transfer.h"

using namespace wisemerge::cuda;

namespace {

// What is left free of a device: room for the slots of transfers, and for whoever shares it.
constexpr uint64_t kReserve = 256u << 20;

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

WmNetwork::WmNetwork(WmContext& context, const WmParameter* parameters, uint32_t count, int32_t way)
    : context_(context),
      parameters_(parameters, parameters + count),
      rule_{context.precision() != WM_EXACT, way, context.library()},
      weights_(context, parameters, count) {}

uint64_t WmNetwork::budget() const {
  size_t free_bytes = 0, total = 0;
  check(cudaMemGetInfo(&free_bytes, &total), "reading the device's free memory");
  const uint64_t available = free_bytes > kReserve ? free_bytes - kReserve : 0;
  if (!context_.memory_limit()) return available;
  const uint64_t trained = training_ ? training_->bytes() : 0;
  return std::min(context_.memory_limit() - std::min(context_.memory_limit(), trained), available);
}

// Values and scratch first, weights in what is left; those that are trained have memory of their own.
void WmNetwork::make_room(uint64_t bytes, const std::vector<WmOperation>& operations) {
  if (bytes <= bytes_ && (training_ || weights_.placed(operations))) return;
  context_.abandon();
  weights_.release();
  memory_.reset();
  bytes = std::max(bytes, bytes_);
  bytes_ = 0;
  const uint64_t available = budget(), least = training_ ? 0 : weights_.least(operations);
  if (training_ && bytes > available) {
    throw Failure{WM_OUT_OF_MEMORY, 0,
                  "a batch needs " + mebibytes(bytes) + " of device memory for its values, and " +
                      mebibytes(available) + " are there: train with a smaller batch"};
  }
  if (bytes > available || least > available - bytes) {
    throw Failure{WM_OUT_OF_MEMORY, 0,
                  "a network needs " + mebibytes(bytes) + " of device memory for its values and " +
                      mebibytes(least) + " for the weights of its largest operation, and " +
                      mebibytes(available) + " are there: evaluate fewer samples or alphas at once"};
  }
  memory_ = std::make_unique<DeviceMemory>(std::max<uint64_t>(bytes, 1));
  bytes_ = bytes;
  if (!training_) weights_.place(operations, available - bytes);
}

WmCode WmNetwork::begin(const WmProgram& program, WmCancelFlag cancelled) {
  running_ = kNothing;
  operations_.clear();
  std::vector<WmOperation> operations(program.operation, program.operation + program.operations);
  uint64_t scratch = 0;
  for (const WmOperation& operation : operations) {
    check_operation(operation);
    for (const uint32_t id : operation.parameter) {
      if (id == WM_NO_PARAMETER || id < parameters_.size()) continue;
      throw Failure{WM_INVALID_ARGUMENT, 0, "a network has no parameter " + std::to_string(id)};
    }
    scratch = std::max(scratch, operation_scratch(rule_, operation));
    if (training_) scratch = std::max(scratch, gradient_scratch(operation));
  }
  values_ = 0;
  make_room(slot_bytes(program.memory) + scratch, operations);
  values_ = slot_bytes(program.memory);
  if (!training_) weights_.begin(operations);
  operations_ = std::move(operations);
  check_ranges(program.input, program.inputs);
  return transfer(context_, program.input, program.inputs, memory_->get(), true, cancelled);
}

void WmNetwork::check_ranges(const WmTransfer* transfers, uint32_t count) const {
  for (uint32_t i = 0; i < count; i++) {
    if (transfers[i].offset <= values_ && transfers[i].bytes <= values_ - transfers[i].offset) continue;
    throw Failure{WM_INVALID_ARGUMENT, 0, "a range outside the network's memory"};
  }
  if (!memory_) throw Failure{WM_INVALID_ARGUMENT, 0, "a network runs no program"};
}

std::byte* WmNetwork::place(uint64_t offset) const {
  if (offset == WM_NO_VALUE) return nullptr;
  if (offset > values_) throw Failure{WM_INVALID_ARGUMENT, 0, "a value outside the network's memory"};
  return memory_->get() + offset;
}

WmCode WmNetwork::operate(uint32_t operation, const WmOperands& operands, WmCancelFlag cancelled) {
  if (operation >= operations_.size()) {
    throw Failure{WM_INVALID_ARGUMENT, 0, "a network has no operation " + std::to_string(operation)};
  }
  if (operation != running_ && !training_) {
    if (running_ != kNothing) weights_.done(running_);
    running_ = kNothing;
    if (!weights_.bring(operation, cancelled)) return WM_CANCELLED;
    running_ = operation;
  }
  const WmOperation& what = operations_[operation];
  OperationCall call{what, {}, place(operands.out), {}, operands.real};
  for (size_t i = 0; i < std::size(call.value); i++) call.value[i] = place(operands.value[i]);
  for (size_t i = 0; i < std::size(call.parameter); i++) {
    call.parameter[i] =
        training_ ? training_->at(what.parameter[i]) : weights_.at(what.parameter[i], operands.alpha[i]);
  }
  run_operation(rule_, call, memory_->get() + values_, context_.streams().compute);
  return WM_OK;
}

WmCode WmNetwork::finish(const WmTransfer* results, uint32_t count, WmCancelFlag cancelled) {
  running_ = kNothing;
  check_ranges(results, count);
  const WmCode code = transfer(context_, results, count, memory_->get(), false, cancelled);
  if (code != WM_OK) return code;
  context_.finish();
  check(cudaStreamSynchronize(context_.streams().compute), "waiting for the device");
  return WM_OK;
}

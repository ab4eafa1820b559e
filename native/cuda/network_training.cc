#include <iterator>
#include <string>

#include "cuda/calls.h"
#include "cuda/failure.h"
#include "cuda/network.h"
#include "cuda/network_gradients.h"
#include "cuda/transfer.h"

using namespace wisemerge::cuda;

TrainingState& WmNetwork::training() const {
  if (!training_) throw Failure{WM_INVALID_ARGUMENT, 0, "a network is not trained"};
  return *training_;
}

WmCode WmNetwork::train(const WmTraining& training, WmCancelFlag cancelled) {
  if (training_ || memory_) throw Failure{WM_INVALID_ARGUMENT, 0, "a network that has run already"};
  if (rule_.fast) throw Failure{WM_UNAVAILABLE, 0, "training is exact; tensor cores are for evaluation"};
  auto state = std::make_unique<TrainingState>(context_, parameters_, training, budget());
  if (!state->upload(training, cancelled)) {
    context_.abandon();
    return WM_CANCELLED;
  }
  training_ = std::move(state);
  return WM_OK;
}

WmCode WmNetwork::reverse_begin(const WmTransfer* gradients, uint32_t count, WmCancelFlag cancelled) {
  TrainingState& state = training();
  check_ranges(gradients, count);
  state.clear_gradient();
  return transfer(context_, gradients, count, memory_->get(), true, cancelled);
}

WmCode WmNetwork::reverse(uint32_t operation, const WmReverse& operands, WmCancelFlag cancelled) {
  const TrainingState& state = training();
  if (operation >= operations_.size()) {
    throw Failure{WM_INVALID_ARGUMENT, 0, "a network has no operation " + std::to_string(operation)};
  }
  if (raised(cancelled)) return WM_CANCELLED;
  const WmOperation& what = operations_[operation];
  check_gradient(what);
  const auto floats = [&](uint64_t offset) { return reinterpret_cast<float*>(place(offset)); };
  GradientCall call{what, {}, {},           {}, floats(operands.out_gradient), floats(operands.spare),
                    {},   {}, operands.real};
  for (size_t i = 0; i < std::size(call.value); i++) {
    call.value[i] = place(operands.value[i]);
    call.value_gradient[i] = floats(operands.value_gradient[i]);
    call.add[i] = operands.add[i] != 0;
  }
  for (size_t i = 0; i < std::size(call.parameter); i++) {
    call.parameter[i] = state.parameter(what.parameter[i]);
    call.parameter_gradient[i] = state.gradient(what.parameter[i]);
  }
  run_gradient(call, memory_->get() + values_, context_.streams().compute);
  return WM_OK;
}

WmCode WmNetwork::norm(double* norm, WmCancelFlag cancelled) { return training().norm(norm, cancelled); }

WmCode WmNetwork::update(const WmAdamW& factors) {
  training().update(factors);
  return WM_OK;
}

WmCode WmNetwork::read(int32_t array, float* to, WmCancelFlag cancelled) {
  if (array < WM_PARAMETERS || array > WM_SECOND_MOMENT) {
    throw Failure{WM_INVALID_ARGUMENT, 0, "a network that is trained has no array " + std::to_string(array)};
  }
  return training().read(static_cast<WmTrainedArray>(array), to, cancelled);
}

#include "cuda/training_state.h"

#include <cmath>
#include <string>

#include "cuda/failure.h"
#include "cuda/gradient_launch.h"
#include "cuda/slot.h"
#include "cuda/transfer.h"

namespace wisemerge::cuda {

TrainingState::TrainingState(WmContext& context, const std::vector<WmParameter>& parameters,
                             const WmTraining& training, uint64_t budget)
    : context_(context), count_(training.count) {
  uint64_t start = 0;
  for (const WmParameter& parameter : parameters) {
    const bool placed = start <= count_ && parameter.count <= count_ - start;
    if (parameter.zeroshot_dtype != static_cast<int32_t>(DType::kF32) || parameter.finetuned || !placed ||
        parameter.zeroshot != training.parameters + start) {
      throw Failure{WM_INVALID_ARGUMENT, 0, "a parameter to train is not F32 in the array of all"};
    }
    starts_.push_back(start);
    start += parameter.count;
  }
  if (start != count_) throw Failure{WM_INVALID_ARGUMENT, 0, "numbers of no parameter to train"};
  array_bytes_ = slot_bytes(count_ * sizeof(float));
  bytes_ =
      kArrays * array_bytes_ + slot_bytes(SquareSums{count_, nullptr, nullptr}.blocks() * sizeof(double));
  if (bytes_ > budget) {
    throw Failure{WM_OUT_OF_MEMORY, 0,
                  "training needs " + std::to_string(bytes_ >> 20) +
                      " MiB of device memory for parameters, gradients and moments, and " +
                      std::to_string(budget >> 20) + " MiB are there: train on the CPU"};
  }
  memory_ = std::make_unique<DeviceMemory>(std::max<uint64_t>(bytes_, 1));
}

bool TrainingState::upload(const WmTraining& training, WmCancelFlag cancelled) {
  const uint64_t bytes = count_ * sizeof(float);
  const auto given = [&](const float* from, WmTrainedArray to) {
    return WmTransfer{const_cast<float*>(from), to * array_bytes_, bytes};
  };
  const WmTransfer transfers[] = {given(training.parameters, WM_PARAMETERS),
                                  given(training.first_moment, WM_FIRST_MOMENT),
                                  given(training.second_moment, WM_SECOND_MOMENT)};
  if (transfer(context_, transfers, 3, memory_->get(), true, cancelled) != WM_OK) return false;
  clear_gradient();
  context_.finish();
  return true;
}

Ends TrainingState::at(uint32_t id) const {
  if (id == WM_NO_PARAMETER) return {};
  return {parameter(id), nullptr, DType::kF32, DType::kF32, 0};
}

void TrainingState::clear_gradient() {
  check(cudaMemsetAsync(array(WM_GRADIENT), 0, array_bytes_, context_.streams().compute),
        "clearing device memory");
}

void TrainingState::update(const WmAdamW& factors) {
  const AdamWPass pass{factors,
                       count_,
                       array(WM_GRADIENT),
                       array(WM_PARAMETERS),
                       array(WM_FIRST_MOMENT),
                       array(WM_SECOND_MOMENT)};
  check(launch(pass, context_.streams().compute), "launching an update");
}

WmCode TrainingState::norm(double* norm, WmCancelFlag cancelled) {
  auto* const sums = reinterpret_cast<double*>(memory_->get() + kArrays * array_bytes_);
  const SquareSums squares{count_, array(WM_GRADIENT), sums};
  check(launch(squares, context_.streams().compute), "launching a norm");
  std::vector<double> blocks(squares.blocks());
  const WmTransfer back = {blocks.data(), kArrays * array_bytes_, blocks.size() * sizeof(double)};
  const WmCode code = transfer(context_, &back, 1, memory_->get(), false, cancelled);
  if (code != WM_OK) return code;
  context_.finish();
  double total = 0;
  for (const double block : blocks) total += block;
  *norm = std::sqrt(total);
  return WM_OK;
}

WmCode TrainingState::read(WmTrainedArray which, float* to, WmCancelFlag cancelled) {
  const WmTransfer back = {to, which * array_bytes_, count_ * sizeof(float)};
  const WmCode code = transfer(context_, &back, 1, memory_->get(), false, cancelled);
  if (code == WM_OK) context_.finish();
  return code;
}

}  // namespace wisemerge::cuda

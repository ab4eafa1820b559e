// What the training of a network keeps in device memory: parameters, their gradients and AdamW's moments,
// f32, each array without gaps as on the host.
#pragma once

#include <vector>

#include "cuda/context.h"
#include "cuda/kernels/ends.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

class TrainingState {
 public:
  // Throws Failure WM_INVALID_ARGUMENT where the parameters are not those of `training`, and
  // WM_OUT_OF_MEMORY where they need more than `budget` bytes.
  TrainingState(WmContext& context, const std::vector<WmParameter>& parameters, const WmTraining& training,
                uint64_t budget);

  // All bytes of device memory.
  uint64_t bytes() const { return bytes_; }
  // False if cancelled.
  bool upload(const WmTraining& training, WmCancelFlag cancelled);

  Ends at(uint32_t parameter) const;
  // Null for WM_NO_PARAMETER.
  const float* parameter(uint32_t id) const { return of(WM_PARAMETERS, id); }
  float* gradient(uint32_t id) const { return of(WM_GRADIENT, id); }

  // All asynchronous, behind what the stream has been given before.
  void clear_gradient();
  void update(const WmAdamW& factors);
  // Both wait. WM_OK or WM_CANCELLED.
  WmCode norm(double* norm, WmCancelFlag cancelled);
  WmCode read(WmTrainedArray array, float* to, WmCancelFlag cancelled);

 private:
  static constexpr uint32_t kArrays = 4;

  float* array(WmTrainedArray which) const {
    return reinterpret_cast<float*>(memory_->get() + which * array_bytes_);
  }
  float* of(WmTrainedArray which, uint32_t id) const {
    return id == WM_NO_PARAMETER ? nullptr : array(which) + starts_[id];
  }

  WmContext& context_;
  const uint64_t count_;
  std::vector<uint64_t> starts_;  // of each parameter, in floats
  uint64_t array_bytes_, bytes_;
  std::unique_ptr<DeviceMemory> memory_;  // the arrays in the order of WmTrainedArray, then sums of squares
};

}  // namespace wisemerge::cuda

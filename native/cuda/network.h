// A network in the device's memory (backend_network.h): its values, its parameters, and the program that
// runs.
#pragma once

#include <memory>
#include <vector>

#include "cuda/context.h"
#include "cuda/network_operations.h"
#include "cuda/network_weights.h"
#include "cuda/training_state.h"
#include "wisemerge/backend.h"

struct WmNetwork {
 public:
  WmNetwork(WmContext& context, const WmParameter* parameters, uint32_t count, int32_t way);
  WmNetwork(const WmNetwork&) = delete;
  WmNetwork& operator=(const WmNetwork&) = delete;

  // All: WM_OK or WM_CANCELLED; throw Failure.
  WmCode begin(const WmProgram& program, WmCancelFlag cancelled);
  WmCode operate(uint32_t operation, const WmOperands& operands, WmCancelFlag cancelled);
  WmCode finish(const WmTransfer* results, uint32_t count, WmCancelFlag cancelled);

  // Training (network_training.cc).
  WmCode train(const WmTraining& training, WmCancelFlag cancelled);
  WmCode reverse_begin(const WmTransfer* gradients, uint32_t count, WmCancelFlag cancelled);
  WmCode reverse(uint32_t operation, const WmReverse& operands, WmCancelFlag cancelled);
  WmCode norm(double* norm, WmCancelFlag cancelled);
  WmCode update(const WmAdamW& factors);
  WmCode read(int32_t array, float* to, WmCancelFlag cancelled);

 private:
  static constexpr uint32_t kNothing = UINT32_MAX;

  void make_room(uint64_t bytes, const std::vector<WmOperation>& operations);
  uint64_t budget() const;
  void check_ranges(const WmTransfer* transfers, uint32_t count) const;
  // Null for WM_NO_VALUE.
  std::byte* place(uint64_t offset) const;
  // Throws where the network is not trained.
  wisemerge::cuda::TrainingState& training() const;

  WmContext& context_;
  const std::vector<WmParameter> parameters_;
  const wisemerge::cuda::ProductRule rule_;
  wisemerge::cuda::NetworkWeights weights_;
  std::unique_ptr<wisemerge::cuda::TrainingState> training_;  // where there is one, `weights_` has no part
  std::vector<WmOperation> operations_;
  std::unique_ptr<wisemerge::cuda::DeviceMemory> memory_;  // values, then scratch
  uint64_t bytes_ = 0;                                     // of memory_
  uint64_t values_ = 0;                                    // of the program's values
  uint32_t running_ = kNothing;                            // the operation whose launches are queued
};

// A network under training: programs over one flat f32 array of parameters, with their forward passes and the
// gradient of a loss by reverse-mode differentiation (Linnainmaa, 1970).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "core/float_array.h"
#include "core/thread_pool.h"
#include "network/network.h"
#include "network/ops.h"
#include "train/gradient_plan.h"

namespace wisemerge::train {

// The network for one size of batch. `input` is a value kFloats, whose memory is not the program's matter;
// `output` is computed: a row of logits for each sample.
struct BatchProgram {
  uint64_t samples;
  uint32_t input, output;
  network::Program program;
};

class TrainedNetwork {
 public:
  // Parameter p of the programs is the `tensors[p]` numbers of `parameters` that follow those of p - 1.
  // Throws ERR_INTERNAL_ARGUMENT unless programs are sound, of one network, of different sizes, and can be
  // differentiated.
  TrainedNetwork(std::shared_ptr<Engine> engine, const std::vector<uint64_t>& tensors,
                 std::vector<BatchProgram> programs, const float* parameters, int threads);

  uint64_t inputs() const { return inputs_; }
  uint64_t outputs() const { return outputs_; }
  uint64_t parameters() const { return parameters_; }
  // Of the largest program.
  uint64_t max_rows() const { return max_rows_; }

  // [max_rows, inputs], row-major: the caller puts a batch here before forward().
  float* input() { return input_.data(); }

  // Logits, [rows, outputs]. Throws ERR_INTERNAL_ARGUMENT where no program has this many samples, and as
  // Network.
  float* forward(uint64_t rows, WmCancelFlag cancelled);

  // After forward() for the same batch, with the gradient of the loss by the logits in the array that
  // forward() returned: fills `gradient`, laid out as the parameters; those that no logit depends on get 0.
  void backward(uint64_t rows, float* gradient, WmCancelFlag cancelled);

 private:
  struct Planned {
    BatchProgram batch;
    GradientPlan plan;
  };

  Planned& of(uint64_t rows);

  const std::shared_ptr<Engine> engine_;
  network::Network network_;
  ThreadPool pool_;
  std::vector<Planned> programs_;
  std::vector<uint64_t> starts_;  // of each tensor
  uint64_t inputs_ = 0, outputs_ = 0, parameters_ = 0, max_rows_ = 0;
  std::vector<float> input_;
  FloatArray memory_;  // of values and gradients, for one program at a time
  float* base_ = nullptr;
};

}  // namespace wisemerge::train

// Fine-tuning of a network: epochs of AdamW on the softmax cross-entropy, and evaluation.
//
// Everything is a function of the arguments: a run gives the same bits with any number of threads, cut into
// any calls, on any CPU that has the same C library.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "core/thread_pool.h"
#include "train/adamw.h"
#include "train/loss.h"
#include "train/sampling.h"
#include "train/trained_network.h"
#include "wisemerge/dtype.h"

namespace wisemerge::train {

// Samples in host memory. features is [samples, dimension] of F32, F16 or BF16, row-major and aligned to its
// elements; labels is [samples], each in [0, classes) (else ERR_INTERNAL_RANGE when it is met).
struct TrainingData {
  uint64_t samples, dimension;
  DType dtype;
  const uint8_t* features;
  const int32_t* labels;
};

struct TrainerOptions {
  AdamW adamw;
  double label_smoothing = 0;  // [0, 1)
  double clip = 0;             // largest norm of the gradient of all parameters together; 0: any
  int threads = 0;             // of the passes between matrix products; 0: all
};

// A part of one epoch: batches of `batch` samples in the epoch's order, from batch number `first`, one for
// each learning rate. The last batch of an epoch may be smaller.
struct StepsCall {
  TrainingData data;
  Sampling sampling;
  uint64_t batch, first;
  uint64_t updates;  // made before this call, in all epochs: counts AdamW's bias correction
  std::vector<double> rates;
};

struct StepsResult {
  static constexpr uint64_t kNone = UINT64_MAX;

  // Of each step done, before its update: the loss with label smoothing, summed over the batch.
  std::vector<double> losses;
  uint64_t correct = 0, samples = 0;
  double largest_norm = 0;  // of the gradients, before clipping
  // The step, counted from `first`, whose loss or gradient was not finite; it was not applied, and those
  // behind it were not done.
  uint64_t diverged = kNone;
};

class Trainer {
 public:
  // `arrays` are the caller's, and filled before the first call; `tensors` share out the parameters. There is
  // a program for every size of batch that calls need. Throws as TrainedNetwork.
  Trainer(const std::shared_ptr<Engine>& engine, const std::vector<uint64_t>& tensors,
          std::vector<BatchProgram> programs, const OptimizerArrays& arrays, const TrainerOptions& options);

  // All throw Error: ERR_ABORTED, after which the state is that of some step between, ERR_INTERNAL_*, and
  // what a device throws (Engine).
  StepsResult train(const StepsCall& call, WmCancelFlag cancelled);
  // Cross-entropy without label smoothing, and hits, summed over all samples in order.
  LossSums evaluate(const TrainingData& data, WmCancelFlag cancelled);
  // Brings parameters and moments to the arrays, where training happens in other memory.
  void store(WmCancelFlag cancelled) { network_.store(cancelled); }

 private:
  void check(const TrainingData& data) const;
  // Puts samples order[0] to order[rows - 1] (null: `first` and those behind it) into the network's input.
  void gather(const TrainingData& data, const uint32_t* order, uint64_t first, uint64_t rows);

  const TrainerOptions options_;
  TrainedNetwork network_;
  ThreadPool pool_;
  std::vector<int32_t> labels_;  // of the batch
  std::vector<double> losses_;

  // The order of the epoch of the last call.
  std::vector<uint32_t> order_;
  Sampling ordered_;
  const int32_t* ordered_labels_ = nullptr;
};

}  // namespace wisemerge::train

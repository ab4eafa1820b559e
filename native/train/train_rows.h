// The numbers by which JavaScript describes a trainer and its calls, as core/head_rows.h has them: everything
// lies in one arena, at byte offsets; -1 stands for what is not there.
//
//   trainer  parameterCount parameters firstMoment secondMoment  threads
//            beta1 beta2 epsilon weightDecay labelSmoothing clip
//            tensors, then for each its count, then for each program
//            samples input output, how many numbers follow, and these, of network/network_rows.h
//   layers   for each: kind inputs outputs weight bias epsilon, weight and bias counted in parameters
//   data     samples dimension dtype features labels
//   steps    data  seed epoch balanced batch first updates
//   network  parameterCount maxRows threads, then layers
//   logits   samples dimension dtype features parameters stride out
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "train/inference.h"
#include "train/trainer.h"

namespace wisemerge::train {

struct TrainerRow {
  OptimizerArrays arrays;
  TrainerOptions options;
  std::vector<uint64_t> tensors;
  std::vector<BatchProgram> programs;
};

struct NetworkRow {
  uint64_t parameters, max_rows;
  int threads;
  std::vector<Layer> layers;
};

// All throw Error: ERR_INTERNAL_RANGE, ERR_INTERNAL_ARGUMENT.
TrainerRow parse_trainer(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
TrainingData parse_data(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
StepsCall parse_steps(const double* numbers, size_t length, std::vector<double> rates, uint8_t* arena,
                      uint64_t bytes);
NetworkRow parse_network(const double* numbers, size_t length);
InferenceCall parse_logits(const double* numbers, size_t length, const Inference& network, uint8_t* arena,
                           uint64_t bytes);

}  // namespace wisemerge::train

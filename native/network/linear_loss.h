// The losses of a language model straight from its last hidden states.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "network/weights.h"

namespace wisemerge::network {

// x [rows, inputs], labels [rows], W [classes, inputs], out [rows].
struct LinearLoss {
  uint64_t rows, inputs, classes;
  const float* x;
  const int32_t* labels;
  float* out;
};

// token_losses of x W^T + b, the same bits, without the logits of all rows: rows whose label counts are taken
// together and go through the product some at a time. Texts are long and vocabularies large, so the logits of
// a batch would take more memory than everything else in a network.
class LinearLosses {
 public:
  // Logits at a time, in floats: 128 MiB are 256 rows of a vocabulary of 128 Ki. Each product interpolates
  // the weights anew, which at that many rows costs a few hundredths of it.
  static constexpr uint64_t kLogits = 1u << 25;

  LinearLosses(ThreadPool& pool, Weights& weights, uint64_t logits = kLogits)
      : pool_(pool), weights_(weights), most_(logits) {}

  // W and b at their alphas; no bias: kNone. Throws as Weights::product.
  void run(const LinearLoss& call, uint32_t weight, double alpha, uint32_t bias, double bias_alpha,
           WmCancelFlag cancelled);

 private:
  ThreadPool& pool_;
  Weights& weights_;
  const uint64_t most_;
  FloatArray x_, logits_, losses_;
};

}  // namespace wisemerge::network

// A network applied to cached features, with parameters that the caller chooses at each call: one network
// stands for all models of a path.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "core/thread_pool.h"
#include "train/mlp.h"
#include "wisemerge/dtype.h"

namespace wisemerge::train {

// out[i * stride + j]: output j of sample i. features is [samples, dimension] of F32, F16 or BF16, row-major
// and aligned to its elements; parameters are as many as the network has.
struct InferenceCall {
  uint64_t samples, dimension;
  DType dtype;
  const uint8_t* features;
  const float* parameters;
  float* out;
  uint64_t stride;
};

class Inference {
 public:
  // Samples go through in batches of `max_rows`; results depend neither on them nor on `threads` (0: all).
  // Throws as Mlp.
  Inference(std::shared_ptr<Engine> engine, std::vector<Layer> layers, uint64_t parameters, uint64_t max_rows,
            int threads);

  uint64_t parameters() const { return network_.parameters(); }
  uint64_t outputs() const { return network_.outputs(); }

  // Throws Error: ERR_ABORTED, ERR_INTERNAL_*.
  void run(const InferenceCall& call, WmCancelFlag cancelled);

 private:
  const std::shared_ptr<Engine> engine_;
  Mlp network_;
  ThreadPool pool_;
};

}  // namespace wisemerge::train

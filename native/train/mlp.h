// A feed-forward network as a list of layers over one flat f32 array of parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "core/thread_pool.h"

namespace wisemerge::train {

// The values cross the JavaScript boundary: append only.
enum class LayerKind : uint8_t { kLinear, kLayerNorm, kGelu, kRelu };
inline constexpr uint64_t kLayerKinds = 4;

struct Layer {
  static constexpr uint64_t kNone = UINT64_MAX;

  LayerKind kind;
  uint64_t inputs, outputs;  // numbers per sample; equal for all kinds but kLinear
  // Where in the parameters; kNone if there is none. kLinear: out = x weight^T + bias, weight is [outputs,
  // inputs], row-major. kLayerNorm: [outputs] each.
  uint64_t weight = kNone, bias = kNone;
  float epsilon = 0;  // kLayerNorm
};

class Mlp {
 public:
  // For batches of up to `max_rows` samples. Layers must fit together and lie in [0, parameters): else throws
  // Error ERR_INTERNAL_ARGUMENT.
  Mlp(std::vector<Layer> layers, uint64_t parameters, uint64_t max_rows);

  uint64_t inputs() const { return layers_.front().inputs; }
  uint64_t outputs() const { return layers_.back().outputs; }
  uint64_t parameters() const { return parameters_; }
  uint64_t max_rows() const { return max_rows_; }

  // [max_rows, inputs], row-major: the caller puts a batch here before forward().
  float* input() { return activations_.front().data(); }

  // The output of the last layer, [rows, outputs]. Throws as Engine::matmul.
  float* forward(Engine& engine, ThreadPool& pool, const float* parameters, uint64_t rows,
                 WmCancelFlag cancelled);

 private:
  const std::vector<Layer> layers_;
  const uint64_t parameters_, max_rows_;
  std::vector<std::vector<float>> activations_;  // what enters each layer, and the output
};

}  // namespace wisemerge::train

#include "train/inference.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/status.h"
#include "train/feature_rows.h"
#include "train/passes.h"

namespace wisemerge::train {

using namespace network;

Inference::Inference(std::shared_ptr<Engine> engine, std::vector<Layer> layers, uint64_t parameters,
                     uint64_t max_rows, int threads)
    : engine_(std::move(engine)), network_(std::move(layers), parameters, max_rows), pool_(threads) {}

void Inference::run(const InferenceCall& call, WmCancelFlag cancelled) {
  check_features(call.dimension, call.dtype, network_.inputs());
  const uint64_t outputs = network_.outputs();
  if (call.stride < outputs) {
    throw Error("ERR_INTERNAL_ARGUMENT",
                std::to_string(outputs) + " outputs in rows of " + std::to_string(call.stride));
  }
  for (uint64_t first = 0; first < call.samples; first += network_.max_rows()) {
    stop_if_cancelled(cancelled);
    const uint64_t rows = std::min(network_.max_rows(), call.samples - first);
    pool_.parallel_for(rows, grain_of(call.dimension), [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        widen_row(call.dtype, call.features, first + i, call.dimension,
                  network_.input() + i * call.dimension);
      }
    });
    const float* const logits = network_.forward(*engine_, pool_, call.parameters, rows, cancelled);
    for (uint64_t i = 0; i < rows; i++) {
      std::copy_n(logits + i * outputs, outputs, call.out + (first + i) * call.stride);
    }
  }
}

}  // namespace wisemerge::train

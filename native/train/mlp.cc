#include "train/mlp.h"

#include <string>
#include <utility>

#include "core/matrix_product.h"
#include "core/number_row.h"
#include "core/status.h"
#include "network/activations.h"
#include "network/norms.h"

namespace wisemerge::train {

using namespace network;

namespace {

[[noreturn]] void refuse(size_t index, const std::string& why) {
  throw Error("ERR_INTERNAL_ARGUMENT", "layer " + std::to_string(index) + ": " + why);
}

void check_range(size_t index, const char* what, uint64_t start, uint64_t rows, uint64_t columns,
                 uint64_t parameters) {
  if (start == Layer::kNone) return;
  uint64_t count;
  if (__builtin_mul_overflow(rows, columns, &count) || start > parameters || count > parameters - start) {
    refuse(index, std::string(what) + " leaves the " + std::to_string(parameters) + " parameters");
  }
}

void check_layers(const std::vector<Layer>& layers, uint64_t parameters, uint64_t max_rows) {
  if (layers.empty()) throw Error("ERR_INTERNAL_ARGUMENT", "a network without layers");
  if (max_rows == 0) throw Error("ERR_INTERNAL_ARGUMENT", "batches without rows");
  for (size_t i = 0; i < layers.size(); i++) {
    const Layer& layer = layers[i];
    const bool linear = layer.kind == LayerKind::kLinear;
    if (layer.inputs == 0 || layer.outputs == 0) refuse(i, "no inputs or outputs");
    if (i > 0 && layers[i - 1].outputs != layer.inputs) refuse(i, "does not take the outputs before it");
    if (!linear && layer.inputs != layer.outputs) refuse(i, "inputs and outputs differ");
    if (linear && layer.weight == Layer::kNone) refuse(i, "no weight");
    check_range(i, "weight", layer.weight, linear ? layer.inputs : 1, layer.outputs, parameters);
    check_range(i, "bias", layer.bias, 1, layer.outputs, parameters);
  }
}

const float* at(const float* parameters, uint64_t start) {
  return start == Layer::kNone ? nullptr : parameters + start;
}

LayerNorm norm_call(const Layer& layer, const float* parameters, uint64_t rows) {
  return {rows, layer.outputs, at(parameters, layer.weight), at(parameters, layer.bias), layer.epsilon};
}

Activation activation_of(const Layer& layer) {
  return layer.kind == LayerKind::kGelu ? Activation::kGelu : Activation::kRelu;
}

}  // namespace

Mlp::Mlp(std::vector<Layer> layers, uint64_t parameters, uint64_t max_rows)
    : layers_(std::move(layers)), parameters_(parameters), max_rows_(max_rows) {
  check_layers(layers_, parameters_, max_rows_);
  activations_.emplace_back(times(max_rows, layers_.front().inputs));
  for (const Layer& layer : layers_) activations_.emplace_back(times(max_rows, layer.outputs));
}

float* Mlp::forward(Engine& engine, ThreadPool& pool, const float* parameters, uint64_t rows,
                    WmCancelFlag cancelled) {
  for (size_t i = 0; i < layers_.size(); i++) {
    const Layer& layer = layers_[i];
    const float* const x = activations_[i].data();
    float* const out = activations_[i + 1].data();
    switch (layer.kind) {
      case LayerKind::kLinear: {
        WmMatmul call = matrix_product(rows, layer.outputs, layer.inputs, rows_of(x, layer.inputs),
                                       rows_of(parameters + layer.weight, layer.inputs), out);
        call.bias0 = at(parameters, layer.bias);
        engine.matmul(call, cancelled);
        break;
      }
      case LayerKind::kLayerNorm:
        layer_norm(pool, norm_call(layer, parameters, rows), x, out);
        break;
      case LayerKind::kGelu:
      case LayerKind::kRelu:
        activate(pool, activation_of(layer), x, rows * layer.inputs, out);
        break;
    }
  }
  return activations_.back().data();
}

}  // namespace wisemerge::train

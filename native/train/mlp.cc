#include "train/mlp.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/status.h"
#include "train/passes.h"
#include "wisemerge/dtype.h"

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

template <class T>
T* at(T* parameters, uint64_t start) {
  return start == Layer::kNone ? nullptr : parameters + start;
}

WmMatrix matrix(const float* data, uint64_t row_stride, uint64_t column_stride) {
  return {static_cast<int32_t>(DType::kF32), data, row_stride, column_stride};
}

LayerNorm norm_call(const Layer& layer, const float* parameters, uint64_t rows) {
  return {rows, layer.outputs, at(parameters, layer.weight), at(parameters, layer.bias), layer.epsilon};
}

Activation activation_of(const Layer& layer) {
  return layer.kind == LayerKind::kGelu ? Activation::kGelu : Activation::kRelu;
}

}  // namespace

Mlp::Mlp(std::vector<Layer> layers, uint64_t parameters, uint64_t max_rows)
    : layers_(std::move(layers)), parameters_(parameters), max_rows_(max_rows), first_trained_(0) {
  check_layers(layers_, parameters_, max_rows_);
  const auto trained = [](const Layer& layer) {
    return layer.weight != Layer::kNone || layer.bias != Layer::kNone;
  };
  while (first_trained_ < layers_.size() && !trained(layers_[first_trained_])) first_trained_++;
  uint64_t widest = 0;
  activations_.emplace_back(max_rows * layers_.front().inputs);
  for (const Layer& layer : layers_) {
    activations_.emplace_back(max_rows * layer.outputs);
    const bool norm = layer.kind == LayerKind::kLayerNorm;
    means_.emplace_back(norm ? max_rows : 0);
    scales_.emplace_back(norm ? max_rows : 0);
    widest = std::max({widest, layer.inputs, layer.outputs});
  }
  current_.resize(max_rows * widest);
  spare_.resize(max_rows * widest);
}

float* Mlp::forward(Engine& engine, ThreadPool& pool, const float* parameters, uint64_t rows,
                    WmCancelFlag cancelled) {
  for (size_t i = 0; i < layers_.size(); i++) {
    const Layer& layer = layers_[i];
    const float* const x = activations_[i].data();
    float* const out = activations_[i + 1].data();
    switch (layer.kind) {
      case LayerKind::kLinear: {
        WmMatmul call{};
        call.m = rows;
        call.n = layer.outputs;
        call.k = layer.inputs;
        call.a = matrix(x, layer.inputs, 1);
        call.w0 = matrix(parameters + layer.weight, layer.inputs, 1);
        call.bias0 = at(parameters, layer.bias);
        call.out = out;
        call.out_stride = layer.outputs;
        engine.matmul(call, cancelled);
        break;
      }
      case LayerKind::kLayerNorm:
        layer_norm(pool, norm_call(layer, parameters, rows), x, out, means_[i].data(), scales_[i].data());
        break;
      case LayerKind::kGelu:
      case LayerKind::kRelu:
        activate(pool, activation_of(layer), x, rows * layer.inputs, out);
        break;
    }
  }
  return activations_.back().data();
}

void Mlp::backward(Engine& engine, ThreadPool& pool, const float* parameters, uint64_t rows, float* gradient,
                   WmCancelFlag cancelled) {
  std::fill_n(gradient, parameters_, 0.0f);
  const float* const outputs = activations_.back().data();
  std::copy_n(outputs, rows * layers_.back().outputs, current_.data());
  for (size_t i = layers_.size(); i-- > first_trained_;) {
    const Layer& layer = layers_[i];
    const float* const x = activations_[i].data();
    switch (layer.kind) {
      case LayerKind::kLinear: {
        const bool wanted = i > first_trained_;
        backward_linear(engine, pool, i, parameters, rows, current_.data(), gradient, wanted, cancelled);
        current_.swap(spare_);
        break;
      }
      case LayerKind::kLayerNorm:
        layer_norm_backward(pool, norm_call(layer, parameters, rows), x, means_[i].data(), scales_[i].data(),
                            current_.data(), at(gradient, layer.weight), at(gradient, layer.bias));
        break;
      case LayerKind::kGelu:
      case LayerKind::kRelu:
        activate_backward(pool, activation_of(layer), x, rows * layer.inputs, current_.data());
        break;
    }
  }
}

void Mlp::backward_linear(Engine& engine, ThreadPool& pool, size_t index, const float* parameters,
                          uint64_t rows, const float* upstream, float* gradient, bool wanted,
                          WmCancelFlag cancelled) {
  const Layer& layer = layers_[index];
  // dW = dY^T X: both operands transposed by their strides.
  WmMatmul weights{};
  weights.m = layer.outputs;
  weights.n = layer.inputs;
  weights.k = rows;
  weights.a = matrix(upstream, 1, layer.outputs);
  weights.w0 = matrix(activations_[index].data(), 1, layer.inputs);
  weights.out = gradient + layer.weight;
  weights.out_stride = layer.inputs;
  engine.matmul(weights, cancelled);
  if (layer.bias != Layer::kNone) {
    column_sums(pool, upstream, rows, layer.outputs, gradient + layer.bias);
  }
  if (!wanted) return;
  // dX = dY W.
  WmMatmul inputs{};
  inputs.m = rows;
  inputs.n = layer.inputs;
  inputs.k = layer.outputs;
  inputs.a = matrix(upstream, layer.outputs, 1);
  inputs.w0 = matrix(parameters + layer.weight, 1, layer.inputs);
  inputs.out = spare_.data();
  inputs.out_stride = layer.inputs;
  engine.matmul(inputs, cancelled);
}

}  // namespace wisemerge::train

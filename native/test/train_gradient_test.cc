// Back-propagation against central differences of the loss in f64, through a forward pass of its own.
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "cpu/cpu_backend.h"
#include "train/loss.h"
#include "train/mlp.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;

using Doubles = std::vector<double>;

// The outputs for one sample, by the definition of every layer.
Doubles reference_forward(const std::vector<Layer>& layers, const Doubles& parameters, Doubles x) {
  for (const Layer& layer : layers) {
    Doubles out(layer.outputs);
    double mean = 0, variance = 0;
    for (const double value : x) mean += value / static_cast<double>(x.size());
    for (const double value : x) variance += (value - mean) * (value - mean) / static_cast<double>(x.size());
    for (size_t j = 0; j < layer.outputs; j++) {
      switch (layer.kind) {
        case LayerKind::kLinear:
          for (size_t l = 0; l < layer.inputs; l++) {
            out[j] += x[l] * parameters[layer.weight + j * layer.inputs + l];
          }
          break;
        case LayerKind::kLayerNorm:
          out[j] = (x[j] - mean) / std::sqrt(variance + static_cast<double>(layer.epsilon));
          if (layer.weight != Layer::kNone) out[j] *= parameters[layer.weight + j];
          break;
        case LayerKind::kGelu:
          out[j] = x[j] * (1 + std::erf(x[j] / std::sqrt(2.0))) / 2;
          break;
        case LayerKind::kRelu:
          out[j] = std::max(0.0, x[j]);
          break;
      }
      if (layer.bias != Layer::kNone) out[j] += parameters[layer.bias + j];
    }
    x = out;
  }
  return x;
}

double reference_loss(const std::vector<Layer>& layers, const Doubles& parameters,
                      const std::vector<Doubles>& samples, const std::vector<int32_t>& labels,
                      double smoothing) {
  double total = 0;
  for (size_t i = 0; i < samples.size(); i++) {
    const Doubles z = reference_forward(layers, parameters, samples[i]);
    double sum = 0, mean = 0;
    for (const double value : z) {
      sum += std::exp(value);
      mean += value / static_cast<double>(z.size());
    }
    const double label = z[static_cast<size_t>(labels[i])];
    total += std::log(sum) - (1 - smoothing) * label - smoothing * mean;
  }
  return total / static_cast<double>(samples.size());
}

// Every gradient of `layers` over `count` parameters.
void check_gradients(const std::vector<Layer>& layers, uint64_t count, size_t rows, double smoothing) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal;
  const uint64_t inputs = layers.front().inputs, classes = layers.back().outputs;
  std::vector<float> parameters(count);
  for (float& p : parameters) p = 0.7f * normal(random);
  Mlp network(layers, count, rows + 2);
  std::vector<Doubles> samples(rows, Doubles(inputs));
  std::vector<int32_t> labels;
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < inputs; j++) {
      const float value = normal(random);
      network.input()[i * inputs + j] = value;
      samples[i][j] = static_cast<double>(value);
    }
    labels.push_back(static_cast<int32_t>(random() % classes));
  }
  Engine engine(wisemerge_cpu_backend(), {0, 2, ""});
  ThreadPool pool(2);
  std::vector<double> losses;
  float* const logits = network.forward(engine, pool, parameters.data(), rows, nullptr);
  const LossSums sums = cross_entropy(pool, logits, labels.data(), rows, classes, smoothing, true, losses);
  std::vector<float> gradient(count, 123.0f);
  network.backward(engine, pool, parameters.data(), rows, gradient.data(), nullptr);

  Doubles exact(parameters.begin(), parameters.end());
  const auto loss = [&] { return reference_loss(layers, exact, samples, labels, smoothing); };
  CHECK(std::abs(sums.loss / static_cast<double>(rows) - loss()) < 1e-5);
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < count; i++) {
    const double middle = exact[i];
    exact[i] = middle + kStep;
    const double above = loss();
    exact[i] = middle - kStep;
    const double below = loss();
    exact[i] = middle;
    const double slope = (above - below) / (2 * kStep), found = static_cast<double>(gradient[i]);
    if (!(std::abs(found - slope) <= 2e-5 * (1 + std::abs(slope)))) {
      CHECK_EQ(found, slope);  // prints both
      CHECK_EQ(i, count);
    }
  }
}

// A parameter layout in the making.
struct Builder {
  std::vector<Layer> layers;
  uint64_t count = 0;

  uint64_t take(uint64_t size) {
    count += size;
    return count - size;
  }
  Builder& linear(uint64_t inputs, uint64_t outputs, bool biased = true) {
    Layer layer{LayerKind::kLinear, inputs, outputs};
    layer.weight = take(inputs * outputs);
    if (biased) layer.bias = take(outputs);
    layers.push_back(layer);
    return *this;
  }
  Builder& norm(uint64_t width, bool weight = true, bool bias = true) {
    Layer layer{LayerKind::kLayerNorm, width, width};
    if (weight) layer.weight = take(width);
    if (bias) layer.bias = take(width);
    layer.epsilon = 1e-5f;
    layers.push_back(layer);
    return *this;
  }
  Builder& activation(LayerKind kind, uint64_t width) {
    layers.push_back({kind, width, width});
    return *this;
  }
  void check(size_t rows = 6, double smoothing = 0) const { check_gradients(layers, count, rows, smoothing); }
};

}  // namespace

TEST("train gradient: a linear head") {
  Builder().linear(7, 5).check();
  Builder().linear(7, 5, false).check(1, 0.1);
  Builder().linear(1, 2).check(33, 0.2);
}

TEST("train gradient: activations between linear layers") {
  for (const LayerKind kind : {LayerKind::kGelu, LayerKind::kRelu}) {
    Builder().linear(6, 9).activation(kind, 9).linear(9, 4).check(6, 0.1);
    Builder().linear(5, 8).activation(kind, 8).linear(8, 8, false).activation(kind, 8).linear(8, 3).check();
  }
}

TEST("train gradient: layer normalisation before, between and behind") {
  Builder().norm(6).linear(6, 4).check();
  Builder().linear(6, 17).norm(17).activation(LayerKind::kGelu, 17).linear(17, 4).check(6, 0.1);
  Builder().linear(6, 8).activation(LayerKind::kRelu, 8).norm(8, true, false).linear(8, 4).check();
  Builder().linear(6, 8).norm(8, false, true).norm(8, false, false).linear(8, 4).norm(4).check();
}

TEST("train gradient: nothing is wanted below the first layer with parameters") {
  Builder().activation(LayerKind::kGelu, 5).norm(5, false, false).linear(5, 3).check();
}

TEST("train gradient: parameters of no layer get 0") {
  Builder builder;
  builder.take(3);
  builder.linear(4, 3);
  builder.take(2);
  builder.check();
}

TEST("train gradient: layers that do not fit are refused") {
  const auto refused = [](const Builder& builder, uint64_t count, uint64_t rows = 4) {
    try {
      Mlp(builder.layers, count, rows);
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  };
  const Builder good = Builder().linear(3, 4).linear(4, 2);
  CHECK(!refused(good, good.count));
  CHECK(refused(good, good.count - 1));
  CHECK(refused(good, good.count, 0));
  CHECK(refused({}, 10));
  CHECK(refused(Builder().linear(3, 4).linear(5, 2), 100));
  Builder wide = good;
  wide.layers[0].outputs = uint64_t{1} << 62;
  CHECK(refused(wide, UINT64_MAX - 1));
  Builder bare = good;
  bare.layers[0].weight = Layer::kNone;
  CHECK(refused(bare, good.count));
}

}  // namespace wisemerge::test

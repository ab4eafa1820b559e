// The passes of networks that are no products, each against its definition in f64.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "network/activations.h"
#include "network/norms.h"
#include "network/rearrange.h"
#include "network/rope.h"
#include "network/token_loss.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::network;

std::vector<float> random_floats(size_t count, unsigned seed, float scale = 2) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> floats(count);
  for (float& x : floats) x = scale * normal(random);
  return floats;
}

bool near(float value, double wanted, double relative = 1e-6, double absolute = 1e-6) {
  return std::abs(static_cast<double>(value) - wanted) <= relative * std::abs(wanted) + absolute;
}

double exact(Activation activation, double x) {
  const double pi = std::acos(-1.0);
  switch (activation) {
    case Activation::kGelu:
      return x * (1 + std::erf(x / std::sqrt(2.0))) / 2;
    case Activation::kRelu:
      return std::max(0.0, x);
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kGeluTanh:
      return x * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x))) / 2;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    default:
      return std::tanh(x);
  }
}

}  // namespace

TEST("network ops: activations and gates") {
  ThreadPool pool(2);
  std::vector<float> x;
  for (float v = -12; v <= 12; v += 0.0037f) x.push_back(v);
  for (const float v : {0.0f, 1e-20f, -1e-20f, 1e-4f, 300.0f, -300.0f}) x.push_back(v);
  const std::vector<float> y = random_floats(x.size(), 1);
  std::vector<float> out(x.size());
  for (uint64_t kind = 0; kind < kActivations; kind++) {
    const auto activation = static_cast<Activation>(kind);
    activate(pool, activation, x.data(), x.size(), out.data());
    for (size_t i = 0; i < x.size(); i++) CHECK(near(out[i], exact(activation, static_cast<double>(x[i]))));
    gate(pool, activation, x.data(), y.data(), x.size(), out.data());
    for (size_t i = 0; i < x.size(); i++) {
      CHECK(
          near(out[i], exact(activation, static_cast<double>(x[i])) * static_cast<double>(y[i]), 1e-6, 5e-6));
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    activate(pool, activation, &nan, 1, out.data());
    CHECK(std::isnan(out[0]));
  }
  // Relative precision near 0, where the quotient of exponentials would have none.
  for (const float v : {1e-6f, -3e-4f, 0.01f, 0.6f, 0.63f}) {
    CHECK(near(hyperbolic_tangent(v), std::tanh(static_cast<double>(v)), 3e-7, 0));
  }
  add(pool, x.data(), y.data(), x.size(), out.data());
  for (size_t i = 0; i < x.size(); i++) CHECK_EQ(out[i], x[i] + y[i]);
}

TEST("network ops: normalisations") {
  ThreadPool pool(2);
  for (const size_t width : {1u, 7u, 64u, 1000u}) {
    const size_t rows = 5;
    const std::vector<float> x = random_floats(rows * width, 2), weight = random_floats(width, 3),
                             bias = random_floats(width, 4);
    std::vector<float> layer(x.size()), rms = x, unit(x.size());
    layer_norm(pool, {rows, width, weight.data(), bias.data(), 1e-3f}, x.data(), layer.data());
    rms_norm(pool, rows, width, weight.data(), 1e-3f, rms.data(), rms.data());
    normalise(pool, rows, width, x.data(), unit.data());
    for (size_t i = 0; i < rows; i++) {
      double mean = 0, squares = 0, variance = 0;
      for (size_t j = 0; j < width; j++) {
        const double value = static_cast<double>(x[i * width + j]);
        mean += value / static_cast<double>(width);
        squares += value * value;
      }
      for (size_t j = 0; j < width; j++) {
        variance += std::pow(static_cast<double>(x[i * width + j]) - mean, 2) / static_cast<double>(width);
      }
      for (size_t j = 0; j < width; j++) {
        const double value = static_cast<double>(x[i * width + j]), w = static_cast<double>(weight[j]);
        const double epsilon = static_cast<double>(1e-3f);
        CHECK(near(layer[i * width + j],
                   (value - mean) / std::sqrt(variance + epsilon) * w + static_cast<double>(bias[j]), 3e-6,
                   3e-6));
        CHECK(
            near(rms[i * width + j], value / std::sqrt(squares / static_cast<double>(width) + epsilon) * w));
        CHECK(near(unit[i * width + j], value / std::sqrt(squares)));
      }
    }
  }
}

TEST("network ops: rotary embedding turns pairs and leaves the rest") {
  ThreadPool pool(2);
  const size_t tokens = 3, heads = 2, head_dim = 200, pairs = 90;
  const std::vector<float> x = random_floats(tokens * heads * head_dim, 5);
  std::vector<float> frequencies(pairs), out(x.size());
  for (size_t c = 0; c < pairs; c++) {
    frequencies[c] = static_cast<float>(std::pow(10000.0, -static_cast<double>(c) / pairs));
  }
  const int32_t positions[] = {0, 7, 1000};
  rope(pool, {tokens, heads, head_dim, pairs, positions, frequencies.data(), 1.5f}, x.data(), out.data());
  for (size_t i = 0; i < tokens; i++) {
    for (size_t h = 0; h < heads; h++) {
      const size_t begin = (i * heads + h) * head_dim;
      for (size_t c = 0; c < pairs; c++) {
        const double angle = static_cast<double>(static_cast<float>(positions[i]) * frequencies[c]);
        const double a = static_cast<double>(x[begin + c]), b = static_cast<double>(x[begin + pairs + c]);
        CHECK(near(out[begin + c], 1.5 * (a * std::cos(angle) - b * std::sin(angle)), 0, 3e-6));
        CHECK(near(out[begin + pairs + c], 1.5 * (b * std::cos(angle) + a * std::sin(angle)), 0, 3e-6));
      }
      for (size_t c = 2 * pairs; c < head_dim; c++) CHECK_EQ(out[begin + c], x[begin + c]);
    }
  }
}

TEST("network ops: patches are those of a convolution with stride") {
  ThreadPool pool(2);
  const Patches call{2, 3, 7, 9, 2};  // a row and a column are left over
  const std::vector<float> x = random_floats(2 * 3 * 7 * 9, 6);
  const size_t depth = 3 * 2 * 2;
  CHECK_EQ(call.squares(), 12u);
  std::vector<float> out(2 * call.squares() * depth);
  cut_patches(pool, call, x.data(), out.data());
  for (size_t image = 0; image < 2; image++) {
    for (size_t row = 0; row < 3; row++) {
      for (size_t column = 0; column < 4; column++) {
        const float* const patch = &out[(image * 12 + row * 4 + column) * depth];
        for (size_t at = 0; at < depth; at++) {
          const size_t channel = at / 4, dy = at % 4 / 2, dx = at % 2;
          CHECK_EQ(patch[at], x[((image * 3 + channel) * 7 + 2 * row + dy) * 9 + 2 * column + dx]);
        }
      }
    }
  }
}

TEST("network ops: tokens in front, picked tokens and means") {
  ThreadPool pool(2);
  const size_t batch = 3, tokens = 4, width = 5;
  const std::vector<float> x = random_floats(batch * tokens * width, 7), front = random_floats(2 * width, 8),
                           positions = random_floats((tokens + 2) * width, 9);
  std::vector<float> out(batch * (tokens + 2) * width);
  put_prefix(pool, {batch, 2, tokens, width, front.data(), positions.data()}, x.data(), out.data());
  for (size_t b = 0; b < batch; b++) {
    for (size_t t = 0; t < tokens + 2; t++) {
      for (size_t j = 0; j < width; j++) {
        const float from = t < 2 ? front[t * width + j] : x[(b * tokens + t - 2) * width + j];
        CHECK_EQ(out[(b * (tokens + 2) + t) * width + j], from + positions[t * width + j]);
      }
    }
  }
  const Pool call{batch, tokens, width};
  const int32_t index[] = {3, 0, 2};
  pick_token(pool, call, x.data(), index, out.data());
  for (size_t i = 0; i < batch * width; i++) {
    CHECK_EQ(out[i], x[(i / width * tokens + static_cast<size_t>(index[i / width])) * width + i % width]);
  }
  const int32_t mask[] = {1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0};
  mean_token(pool, call, 1, x.data(), mask, out.data());
  for (size_t i = 0; i < batch * width; i++) {
    double sum = 0, count = 0;
    for (size_t t = 1; t < tokens; t++) {
      if (!mask[i / width * tokens + t]) continue;
      sum += static_cast<double>(x[(i / width * tokens + t) * width + i % width]);
      count++;
    }
    CHECK(near(out[i], sum / count));
  }
}

TEST("network ops: losses of tokens") {
  ThreadPool pool(2);
  const size_t rows = 4, classes = 700;
  std::vector<float> logits = random_floats(rows * classes, 10, 20);
  logits[classes] = 1e30f;  // row 1: no overflow
  const int32_t labels[] = {5, 0, -1, 699};
  std::vector<float> out(rows);
  TokenLosses losses(labels, rows);
  losses.add(pool, logits.data(), 0, classes);
  losses.finish(out.data());
  for (size_t i = 0; i < rows; i++) {
    if (labels[i] < 0) {
      CHECK_EQ(out[i], 0.0f);
      continue;
    }
    const float* const z = &logits[i * classes];
    const double label = static_cast<double>(z[labels[i]]);
    double sum = 0;
    for (size_t c = 0; c < classes; c++) sum += std::exp(static_cast<double>(z[c]) - label);
    CHECK(near(out[i], std::log(sum)));
  }
  // Slice by slice.
  TokenLosses sliced(labels, rows);
  std::vector<float> again(rows);
  for (size_t first = 0; first < classes; first += kLossBlock) {
    const size_t count = std::min(kLossBlock, classes - first);
    std::vector<float> slice;
    for (size_t i = 0; i < rows; i++) {
      const auto from = logits.begin() + static_cast<long>(i * classes + first);
      slice.insert(slice.end(), from, from + static_cast<long>(count));
    }
    sliced.add(pool, slice.data(), first, count);
  }
  sliced.finish(again.data());
  CHECK(again == out);
}

}  // namespace wisemerge::test

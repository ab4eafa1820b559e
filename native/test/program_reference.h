// Programs in the making for tests, and what they compute in f64, by the definition of every operation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "network/activations.h"
#include "network/ops.h"

namespace wisemerge::test {

using Doubles = std::vector<double>;

// A program over `samples` samples whose first value is its input.
struct ProgramDraft {
  uint64_t samples;
  network::Program program;
  std::vector<uint64_t> tensors;             // numbers of each parameter
  std::vector<std::vector<int32_t>> wholes;  // of values of whole numbers; their memory
  uint32_t output = 0;

  ProgramDraft(uint64_t samples, uint64_t inputs) : samples(samples) {
    program.values.push_back({samples * inputs, network::Value::Source::kFloats, nullptr});
    wholes.reserve(8);
  }

  uint64_t count(uint32_t id) const { return program.values[id].count; }
  uint32_t tensor(uint64_t count) {
    tensors.push_back(count);
    return static_cast<uint32_t>(tensors.size() - 1);
  }
  uint32_t optional(bool there, uint64_t count) { return there ? tensor(count) : network::kNone; }
  uint32_t whole(const std::vector<int32_t>& numbers) {
    wholes.push_back(numbers);
    program.values.push_back({numbers.size(), network::Value::Source::kWhole, wholes.back().data()});
    return static_cast<uint32_t>(program.values.size() - 1);
  }
  uint32_t op(network::OpKind kind, uint64_t count, const std::vector<uint32_t>& values,
              const std::vector<uint32_t>& parameters, const std::vector<uint64_t>& sizes, double real = 0) {
    network::Op made{};
    made.kind = kind;
    std::fill_n(made.value, network::kOpValues, network::kNone);
    std::fill_n(made.parameter, network::kOpParameters, network::kNone);
    std::copy(values.begin(), values.end(), made.value);
    std::copy(parameters.begin(), parameters.end(), made.parameter);
    std::copy(sizes.begin(), sizes.end(), made.size);
    made.real = real;
    program.values.push_back({count, network::Value::Source::kComputed, nullptr});
    output = made.out = static_cast<uint32_t>(program.values.size() - 1);
    program.ops.push_back(made);
    return output;
  }

  uint32_t linear(uint32_t x, uint64_t inputs, uint64_t outputs, bool biased = true,
                  bool transposed = false) {
    const uint64_t rows = count(x) / inputs;
    const uint32_t weight = tensor(inputs * outputs), bias = optional(biased, outputs);
    return op(network::OpKind::kLinear, rows * outputs, {x}, {weight, bias},
              {rows, inputs, outputs, transposed ? 1u : 0u});
  }
  uint32_t norm(uint32_t x, uint64_t width, bool weight = true, bool bias = true) {
    const uint32_t first = optional(weight, width), second = optional(bias, width);
    return op(network::OpKind::kLayerNorm, count(x), {x}, {first, second}, {count(x) / width, width}, 1e-5);
  }
  uint32_t activation(uint32_t x, network::Activation kind) {
    return op(network::OpKind::kActivation, count(x), {x}, {}, {count(x), static_cast<uint64_t>(kind)});
  }
  uint32_t add(uint32_t x, uint32_t y) { return op(network::OpKind::kAdd, count(x), {x, y}, {}, {count(x)}); }
  uint32_t normalise(uint32_t x, uint64_t width) {
    return op(network::OpKind::kNormalise, count(x), {x}, {}, {count(x) / width, width});
  }
  uint32_t patches(uint32_t x, uint64_t channels, uint64_t size, uint64_t patch) {
    const uint64_t side = size / patch;
    return op(network::OpKind::kPatches, samples * side * side * channels * patch * patch, {x}, {},
              {samples, channels, size, size, patch});
  }
  uint32_t prefix(uint32_t x, uint64_t width, uint64_t front, bool positions = true) {
    const uint64_t tokens = count(x) / width / samples;
    const uint32_t before = optional(front > 0, front * width);
    const uint32_t at = optional(positions, (front + tokens) * width);
    return op(network::OpKind::kPrefix, samples * (front + tokens) * width, {x}, {before, at},
              {samples, front, tokens, width});
  }
  uint32_t pick(uint32_t x, uint64_t width, const std::vector<int32_t>& index) {
    const uint64_t tokens = count(x) / width / samples;
    return op(network::OpKind::kPickToken, samples * width, {x, whole(index)}, {}, {samples, tokens, width});
  }
  uint32_t mean(uint32_t x, uint64_t width, uint64_t first, const std::vector<int32_t>& mask = {}) {
    const uint64_t tokens = count(x) / width / samples;
    std::vector<uint32_t> values = {x};
    if (!mask.empty()) values.push_back(whole(mask));
    return op(network::OpKind::kMeanToken, samples * width, values, {}, {samples, tokens, width, first});
  }
  struct Heads {
    uint64_t heads, kv_heads, dim;
    bool causal = false;
    uint64_t window = 0;
    std::vector<int32_t> mask = {};
  };
  // Of three values, or of one that holds queries, keys and values side by side.
  uint32_t attention(uint32_t q, uint32_t k, uint32_t v, const Heads& call) {
    const uint64_t wide = call.heads * call.dim, narrow = call.kv_heads * call.dim;
    const bool packed = q == k;
    const uint64_t stride = packed ? wide + 2 * narrow : wide, tokens = count(q) / stride / samples;
    std::vector<uint32_t> values = {q, k, v};
    if (!call.mask.empty()) values.push_back(whole(call.mask));
    return op(network::OpKind::kAttention, samples * tokens * wide, values, {},
              {samples, tokens, call.heads, call.kv_heads, call.dim, call.causal ? 1u : 0u, call.window,
               stride, packed ? stride : narrow, packed ? stride : narrow, 0, packed ? wide : 0,
               packed ? wide + narrow : 0},
              1 / std::sqrt(static_cast<double>(call.dim)));
  }
};

inline double reference_activation(network::Activation kind, double x) {
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  switch (kind) {
    case network::Activation::kGelu:
      return x * (1 + std::erf(x / std::sqrt(2.0))) / 2;
    case network::Activation::kRelu:
      return std::max(0.0, x);
    case network::Activation::kQuickGelu:
      return x * sigmoid(1.702 * x);
    case network::Activation::kGeluTanh:
      return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    case network::Activation::kSilu:
      return x * sigmoid(x);
    case network::Activation::kTanh:
      return std::tanh(x);
  }
  return 0;
}

// Runs a draft; `parameters` are all tensors one behind another.
class ProgramReference {
 public:
  ProgramReference(const ProgramDraft& draft, const Doubles& parameters, const Doubles& input)
      : draft_(draft), parameters_(parameters), values_(draft.program.values.size()) {
    uint64_t start = 0;
    for (const uint64_t count : draft.tensors) {
      starts_.push_back(start);
      start += count;
    }
    values_[0] = input;
  }

  const Doubles& run() {
    for (const network::Op& op : draft_.program.ops) {
      values_[op.out].assign(draft_.program.values[op.out].count, 0);
      run_op(op);
    }
    return values_[draft_.output];
  }

 private:
  double parameter(uint32_t id, uint64_t i, double otherwise) const {
    return id == network::kNone ? otherwise : parameters_[starts_[id] + i];
  }
  const int32_t* whole(uint32_t id) const {
    if (id == network::kNone) return nullptr;
    return static_cast<const int32_t*>(draft_.program.values[id].memory);
  }

  void run_op(const network::Op& op) {
    const auto& n = op.size;
    const Doubles& x = values_[op.value[0]];
    Doubles& out = values_[op.out];
    const auto [p, q] = std::pair(op.parameter[0], op.parameter[1]);
    switch (op.kind) {
      case network::OpKind::kLinear:
        for (uint64_t i = 0; i < n[0]; i++) {
          for (uint64_t j = 0; j < n[2]; j++) {
            double sum = parameter(q, j, 0);
            for (uint64_t l = 0; l < n[1]; l++) {
              sum += x[i * n[1] + l] * parameter(p, n[3] ? l * n[2] + j : j * n[1] + l, 0);
            }
            out[i * n[2] + j] = sum;
          }
        }
        return;
      case network::OpKind::kPatches: {
        const uint64_t side = n[4], across = n[3] / side, squares = n[2] / side * across;
        uint64_t to = 0;
        for (uint64_t i = 0; i < n[0] * squares; i++) {
          for (uint64_t e = 0; e < n[1] * side * side; e++) {
            const uint64_t channel = e / (side * side), row = i % squares / across * side + e / side % side,
                           column = i % squares % across * side + e % side;
            out[to++] = x[((i / squares * n[1] + channel) * n[2] + row) * n[3] + column];
          }
        }
        return;
      }
      case network::OpKind::kPrefix:
        for (uint64_t i = 0; i < out.size(); i++) {
          const uint64_t length = (n[1] + n[2]) * n[3], b = i / length, at = i % length;
          out[i] = parameter(q, at, 0) +
                   (at < n[1] * n[3] ? parameter(p, at, 0) : x[b * n[2] * n[3] + at - n[1] * n[3]]);
        }
        return;
      case network::OpKind::kAdd:
        for (uint64_t i = 0; i < n[0]; i++) out[i] = x[i] + values_[op.value[1]][i];
        return;
      case network::OpKind::kLayerNorm:
        for (uint64_t i = 0; i < n[0]; i++) {
          const double count = static_cast<double>(n[1]);
          double mean = 0, variance = 0;
          for (uint64_t j = 0; j < n[1]; j++) mean += x[i * n[1] + j] / count;
          for (uint64_t j = 0; j < n[1]; j++) variance += std::pow(x[i * n[1] + j] - mean, 2) / count;
          for (uint64_t j = 0; j < n[1]; j++) {
            out[i * n[1] + j] =
                (x[i * n[1] + j] - mean) / std::sqrt(variance + op.real) * parameter(p, j, 1) +
                parameter(q, j, 0);
          }
        }
        return;
      case network::OpKind::kActivation:
        for (uint64_t i = 0; i < n[0]; i++) {
          out[i] = reference_activation(static_cast<network::Activation>(n[1]), x[i]);
        }
        return;
      case network::OpKind::kAttention:
        return attention(op);
      case network::OpKind::kPickToken:
        for (uint64_t i = 0; i < out.size(); i++) {
          const uint64_t b = i / n[2], token = static_cast<uint64_t>(whole(op.value[1])[b]);
          out[i] = x[(b * n[1] + token) * n[2] + i % n[2]];
        }
        return;
      case network::OpKind::kMeanToken:
        for (uint64_t i = 0; i < out.size(); i++) {
          const uint64_t b = i / n[2];
          double count = 0;
          for (uint64_t t = n[3]; t < n[1]; t++) {
            if (op.value[1] != network::kNone && whole(op.value[1])[b * n[1] + t] == 0) continue;
            out[i] += x[(b * n[1] + t) * n[2] + i % n[2]];
            count++;
          }
          out[i] /= count;
        }
        return;
      case network::OpKind::kNormalise:
        for (uint64_t i = 0; i < n[0]; i++) {
          double squares = 0;
          for (uint64_t j = 0; j < n[1]; j++) squares += x[i * n[1] + j] * x[i * n[1] + j];
          for (uint64_t j = 0; j < n[1]; j++) out[i * n[1] + j] = x[i * n[1] + j] / std::sqrt(squares);
        }
        return;
      default:
        return;
    }
  }

  void attention(const network::Op& op) {
    const auto& n = op.size;
    const uint64_t tokens = n[1], dim = n[4];
    const auto at = [&](size_t i, uint64_t b, uint64_t t, uint64_t head, uint64_t c) {
      return values_[op.value[i]][(b * tokens + t) * n[7 + i] + n[10 + i] + head * dim + c];
    };
    for (uint64_t b = 0; b < n[0]; b++) {
      for (uint64_t h = 0; h < n[2]; h++) {
        const uint64_t kv = h / (n[2] / n[3]);
        for (uint64_t i = 0; i < tokens; i++) {
          Doubles weight(tokens);
          double sum = 0;
          for (uint64_t j = 0; j < tokens; j++) {
            const bool masked = op.value[3] != network::kNone && whole(op.value[3])[b * tokens + j] == 0;
            if (masked || (n[5] && j > i) || (n[6] && i >= j + n[6])) continue;
            double score = 0;
            for (uint64_t c = 0; c < dim; c++) score += at(0, b, i, h, c) * at(1, b, j, kv, c);
            sum += weight[j] = std::exp(op.real * score);
          }
          for (uint64_t j = 0; j < tokens; j++) {
            for (uint64_t c = 0; sum > 0 && c < dim; c++) {
              values_[op.out][((b * tokens + i) * n[2] + h) * dim + c] +=
                  weight[j] / sum * at(2, b, j, kv, c);
            }
          }
        }
      }
    }
  }

  const ProgramDraft& draft_;
  const Doubles& parameters_;
  std::vector<uint64_t> starts_;
  std::vector<Doubles> values_;
};

}  // namespace wisemerge::test

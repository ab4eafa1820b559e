// What programs compute in f64, by the definition of every operation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "program_draft.h"

namespace wisemerge::test {

using Doubles = std::vector<double>;

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
    for (size_t id = 1; id < values_.size(); id++) {
      const network::Value& value = draft.program.values[id];
      const auto* const floats = static_cast<const float*>(value.memory);
      if (value.source == network::Value::Source::kFloats) values_[id].assign(floats, floats + value.count);
    }
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
      case network::OpKind::kRmsNorm:
        for (uint64_t i = 0; i < n[0]; i++) {
          double squares = 0;
          for (uint64_t j = 0; j < n[1]; j++) squares += x[i * n[1] + j] * x[i * n[1] + j];
          const double size = std::sqrt(squares / static_cast<double>(n[1]) + op.real);
          for (uint64_t j = 0; j < n[1]; j++) out[i * n[1] + j] = x[i * n[1] + j] / size * parameter(p, j, 1);
        }
        return;
      case network::OpKind::kEmbedding:
        for (uint64_t i = 0; i < out.size(); i++) {
          const auto row = static_cast<uint64_t>(whole(op.value[0])[i / n[1]]);
          out[i] = parameter(p, row * n[1] + i % n[1], 0);
        }
        return;
      case network::OpKind::kRope:
        return rope(op);
      case network::OpKind::kSimilarity:
        for (uint64_t i = 0; i < out.size(); i++) {
          for (uint64_t l = 0; l < n[2]; l++) {
            out[i] += x[i / n[1] * n[2] + l] * values_[op.value[1]][i % n[1] * n[2] + l];
          }
          out[i] *= std::exp(parameter(p, 0, 0));
        }
        return;
      case network::OpKind::kTokenLosses:
      case network::OpKind::kHeadLosses:
        return losses(op);
      case network::OpKind::kGate:
        for (uint64_t i = 0; i < n[0]; i++) {
          out[i] =
              reference_activation(static_cast<network::Activation>(n[1]), x[i]) * values_[op.value[1]][i];
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
    }
  }

  // Angles are rounded to f32, as models were trained.
  void rope(const network::Op& op) {
    const auto& n = op.size;
    const Doubles& frequencies = values_[op.value[2]];
    Doubles& out = values_[op.out];
    out = values_[op.value[0]];
    for (uint64_t i = 0; i < n[0] * n[1] * n[3]; i++) {
      const uint64_t token = i / n[3] / n[1], pair = i % n[3], at = i / n[3] * n[2] + pair;
      const double angle =
          static_cast<float>(whole(op.value[1])[token]) * static_cast<float>(frequencies[pair]);
      const double a = out[at], b = out[at + n[3]];
      out[at] = op.real * (a * std::cos(angle) - b * std::sin(angle));
      out[at + n[3]] = op.real * (b * std::cos(angle) + a * std::sin(angle));
    }
  }

  void losses(const network::Op& op) {
    const auto& n = op.size;
    const bool head = op.kind == network::OpKind::kHeadLosses;
    const uint64_t classes = head ? n[2] : n[1];
    const Doubles& x = values_[op.value[0]];
    for (uint64_t i = 0; i < n[0]; i++) {
      const int32_t label = whole(op.value[1])[i];
      if (label < 0) continue;
      double sum = 0, own = 0;
      for (uint64_t c = 0; c < classes; c++) {
        double logit = head ? 0 : x[i * classes + c];
        for (uint64_t l = 0; head && l < n[1]; l++) {
          logit += x[i * n[1] + l] * parameter(op.parameter[0], c * n[1] + l, 0);
        }
        sum += std::exp(logit);
        if (c == static_cast<uint64_t>(label)) own = logit;
      }
      values_[op.out][i] = std::log(sum) - own;
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

// Programs in the making for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <vector>

#include "network/ops.h"

namespace wisemerge::test {

// A program over `samples` samples whose first value is its input. Values point into the draft's arrays:
// those of a copy into the original's.
struct ProgramDraft {
  uint64_t samples;
  network::Program program;
  std::vector<uint64_t> tensors;            // numbers of each parameter
  std::deque<std::vector<int32_t>> wholes;  // of values of whole numbers; their memory
  std::deque<std::vector<float>> arrays;    // of given floats but the input; their memory
  uint32_t output = 0;

  ProgramDraft(uint64_t samples, uint64_t inputs) : samples(samples) {
    program.values.push_back({samples * inputs, network::Value::Source::kFloats, nullptr});
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
  uint32_t rms_norm(uint32_t x, uint64_t width) {
    return op(network::OpKind::kRmsNorm, count(x), {x}, {tensor(width)}, {count(x) / width, width}, 1e-5);
  }
  uint32_t gate(uint32_t x, uint32_t y, network::Activation kind) {
    return op(network::OpKind::kGate, count(x), {x, y}, {}, {count(x), static_cast<uint64_t>(kind)});
  }
  // Rows of `table` [length, width] by `ids`; a new table if there is none.
  uint32_t embedding(const std::vector<int32_t>& ids, uint64_t width, uint64_t length,
                     uint32_t table = network::kNone) {
    const uint32_t rows = whole(ids);
    return op(network::OpKind::kEmbedding, ids.size() * width, {rows},
              {table == network::kNone ? tensor(length * width) : table}, {ids.size(), width, length});
  }
  // Of `heads` heads; `frequencies` is a value of floats.
  uint32_t rope(uint32_t x, uint64_t heads, const std::vector<int32_t>& positions, uint32_t frequencies,
                double scale = 1) {
    const uint64_t tokens = positions.size(), dim = count(x) / tokens / heads;
    const uint32_t at = whole(positions);
    return op(network::OpKind::kRope, count(x), {x, at, frequencies}, {},
              {tokens, heads, dim, count(frequencies)}, scale);
  }
  uint32_t similarity(uint32_t x, uint32_t y, uint64_t width) {
    const uint64_t rows = count(x) / width, columns = count(y) / width;
    return op(network::OpKind::kSimilarity, rows * columns, {x, y}, {tensor(1)}, {rows, columns, width});
  }
  uint32_t token_losses(uint32_t logits, const std::vector<int32_t>& labels) {
    return op(network::OpKind::kTokenLosses, labels.size(), {logits, whole(labels)}, {},
              {labels.size(), count(logits) / labels.size()});
  }
  // By the classes of `weight` [classes, inputs].
  uint32_t head_losses(uint32_t x, const std::vector<int32_t>& labels, uint32_t weight) {
    const uint64_t inputs = count(x) / labels.size();
    return op(network::OpKind::kHeadLosses, labels.size(), {x, whole(labels)}, {weight},
              {labels.size(), inputs, tensors[weight] / inputs});
  }
  uint32_t floats(const std::vector<float>& numbers) {
    arrays.push_back(numbers);
    program.values.push_back({numbers.size(), network::Value::Source::kFloats, arrays.back().data()});
    return static_cast<uint32_t>(program.values.size() - 1);
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

}  // namespace wisemerge::test

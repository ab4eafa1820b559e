#include "train/host_gradients.h"

#include <algorithm>

#include "core/matrix_product.h"
#include "network/activations.h"
#include "network/attention_call.h"
#include "train/passes.h"
#include "train/rearrange_backward.h"

namespace wisemerge::train {

using namespace network;

HostGradients::HostGradients(Engine& engine, ThreadPool& pool, const Program& program, float* memory,
                             uint64_t spare, const ParameterGradients& parameters)
    : engine_(engine),
      pool_(pool),
      program_(program),
      memory_(memory),
      spare_(spare),
      parameters_(parameters) {}

const float* HostGradients::parameter(uint32_t id) const {
  return id == kNone ? nullptr : static_cast<const float*>(parameters_.parameters[id].zeroshot);
}

float* HostGradients::parameter_gradient(uint32_t id) const {
  return id == kNone ? nullptr : parameters_.gradient + parameters_.starts[id];
}

template <class Body>
void HostGradients::write(const Op& op, const GradientPlaces& places, const Body& body) {
  if (places.value[0] == GradientPlaces::kNowhere) return body(nullptr);
  float* const to = memory_ + places.value[0];
  if (!places.add[0]) return body(to);
  float* const spare = memory_ + spare_;
  body(spare);
  add(pool_, to, spare, program_.values[op.value[0]].count, to);
}

float* HostGradients::sum(const Op& op, size_t i, const GradientPlaces& places) {
  float* const to = memory_ + places.value[i];
  if (!places.add[i]) std::fill_n(to, program_.values[op.value[i]].count, 0.0f);
  return to;
}

void HostGradients::reverse(size_t at, const GradientPlaces& places, WmCancelFlag cancelled) {
  const Op& op = program_.ops[at];
  const auto& n = op.size;
  const uint32_t x = op.value[0];
  const float* const dy = memory_ + places.out;
  const float epsilon = static_cast<float>(op.real);
  switch (op.kind) {
    case OpKind::kLinear:
      return linear(op, places, cancelled);
    case OpKind::kAttention:
      return attention(op, places, cancelled);
    case OpKind::kAdd:
      return hand_on(op, places);
    case OpKind::kLayerNorm: {
      const LayerNorm call{n[0], n[1], parameter(op.parameter[0]), parameter(op.parameter[1]), epsilon};
      return write(op, places, [&](float* dx) {
        layer_norm_backward(pool_, call, value(x), dy, dx, parameter_gradient(op.parameter[0]),
                            parameter_gradient(op.parameter[1]));
      });
    }
    case OpKind::kActivation:
      return write(op, places, [&](float* dx) {
        activate_backward(pool_, static_cast<Activation>(n[1]), value(x), dy, n[0], dx);
      });
    case OpKind::kNormalise:
      return write(op, places, [&](float* dx) { normalise_backward(pool_, n[0], n[1], value(x), dy, dx); });
    case OpKind::kPrefix:
      return write(op, places, [&](float* dx) {
        put_prefix_backward(pool_, {n[0], n[1], n[2], n[3], nullptr, nullptr}, dy, dx,
                            parameter_gradient(op.parameter[0]), parameter_gradient(op.parameter[1]));
      });
    case OpKind::kPickToken:
      return pick_token_backward(pool_, {n[0], n[1], n[2]}, whole(op.value[1]), dy, sum(op, 0, places));
    case OpKind::kMeanToken:
      return mean_token_backward(pool_, {n[0], n[1], n[2]}, n[3], whole(op.value[1]), dy, sum(op, 0, places));
    default:
      return;  // GradientPlan lets no other pass
  }
}

void HostGradients::linear(const Op& op, const GradientPlaces& places, WmCancelFlag cancelled) {
  const uint64_t rows = op.size[0], inputs = op.size[1], outputs = op.size[2];
  const bool transposed = op.size[3] != 0;
  const float* const dy = memory_ + places.out;
  const float* const x = value(op.value[0]);
  float* const weights = parameter_gradient(op.parameter[0]);
  // dW = dY^T X, or X^T dY: both operands transposed by their strides.
  const WmMatrix by_output = columns_of(dy, outputs), by_input = columns_of(x, inputs);
  engine_.matmul(transposed ? matrix_product(inputs, outputs, rows, by_input, by_output, weights)
                            : matrix_product(outputs, inputs, rows, by_output, by_input, weights),
                 cancelled);
  if (float* const bias = parameter_gradient(op.parameter[1])) column_sums(pool_, dy, rows, outputs, bias);
  const float* const w = parameter(op.parameter[0]);
  write(op, places, [&](float* dx) {
    // dX = dY W.
    const WmMatrix by_column = transposed ? rows_of(w, outputs) : columns_of(w, inputs);
    if (dx)
      engine_.matmul(matrix_product(rows, inputs, outputs, rows_of(dy, outputs), by_column, dx), cancelled);
  });
}

void HostGradients::attention(const Op& op, const GradientPlaces& places, WmCancelFlag cancelled) {
  const auto& n = op.size;
  WmAttentionGradient call{};
  call.forward = attention_call(op, value(op.value[0]), value(op.value[1]), value(op.value[2]),
                                whole(op.value[3]), nullptr);
  call.out_gradient = memory_ + places.out;
  call.q_gradient = sum(op, 0, places) + n[10];
  call.k_gradient = sum(op, 1, places) + n[11];
  call.v_gradient = sum(op, 2, places) + n[12];
  engine_.attention_gradient(call, cancelled);
}

// The gradient of a sum is that of both its terms.
void HostGradients::hand_on(const Op& op, const GradientPlaces& places) {
  const uint64_t count = op.size[0];
  const float* const dy = memory_ + places.out;
  for (size_t i = 0; i < 2; i++) {
    if (places.value[i] == GradientPlaces::kNowhere) continue;
    float* const to = memory_ + places.value[i];
    if (places.add[i]) {
      add(pool_, to, dy, count, to);
    } else if (to != dy) {
      std::copy_n(dy, count, to);
    }
  }
}

}  // namespace wisemerge::train

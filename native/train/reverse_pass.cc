#include "train/reverse_pass.h"

#include <algorithm>

#include "network/attention_call.h"
#include "train/feature_rows.h"
#include "train/passes.h"
#include "train/rearrange_backward.h"
#include "wisemerge/dtype.h"

namespace wisemerge::train {

using namespace network;

namespace {

WmMatrix matrix(const float* data, uint64_t row_stride, uint64_t column_stride) {
  return {static_cast<int32_t>(DType::kF32), data, row_stride, column_stride};
}

// out [m, n] = a w^T over k terms.
WmMatmul product(uint64_t m, uint64_t n, uint64_t k, const WmMatrix& a, const WmMatrix& w, float* out) {
  WmMatmul call{};
  call.m = m;
  call.n = n;
  call.k = k;
  call.a = a;
  call.w0 = w;
  call.out = out;
  call.out_stride = n;
  return call;
}

}  // namespace

ReversePass::ReversePass(Engine& engine, ThreadPool& pool, const Program& program, const GradientPlan& plan,
                         float* memory, const ParameterGradients& parameters)
    : engine_(engine),
      pool_(pool),
      program_(program),
      plan_(plan),
      memory_(memory),
      parameters_(parameters),
      begun_(program.values.size()) {}

void ReversePass::run(uint32_t output, WmCancelFlag cancelled) {
  begun_[output] = true;
  for (size_t at = program_.ops.size(); at-- > 0;) {
    if (!plan_.passed[at]) continue;
    stop_if_cancelled(cancelled);
    run_op(program_.ops[at], cancelled);
  }
}

const float* ReversePass::parameter(uint32_t id) const {
  return id == kNone ? nullptr : static_cast<const float*>(parameters_.parameters[id].zeroshot);
}

float* ReversePass::parameter_gradient(uint32_t id) const {
  return id == kNone ? nullptr : parameters_.gradient + parameters_.starts[id];
}

template <class Body>
void ReversePass::write(uint32_t id, const Body& body) {
  if (!plan_.wanted[id]) return body(nullptr);
  float* const to = gradient(id);
  if (!begun_[id]) {
    begun_[id] = true;
    return body(to);
  }
  float* const spare = memory_ + plan_.spare;
  body(spare);
  add(pool_, to, spare, program_.values[id].count, to);
}

float* ReversePass::sum(uint32_t id) {
  float* const to = gradient(id);
  if (!begun_[id]) std::fill_n(to, program_.values[id].count, 0.0f);
  begun_[id] = true;
  return to;
}

void ReversePass::run_op(const Op& op, WmCancelFlag cancelled) {
  const auto& n = op.size;
  const uint32_t x = op.value[0];
  const float* const dy = gradient(op.out);
  const float epsilon = static_cast<float>(op.real);
  switch (op.kind) {
    case OpKind::kLinear:
      return linear(op, cancelled);
    case OpKind::kAttention:
      return attention(op, cancelled);
    case OpKind::kAdd:
      return hand_on(op);
    case OpKind::kLayerNorm: {
      const LayerNorm call{n[0], n[1], parameter(op.parameter[0]), parameter(op.parameter[1]), epsilon};
      return write(x, [&](float* dx) {
        layer_norm_backward(pool_, call, value(x), dy, dx, parameter_gradient(op.parameter[0]),
                            parameter_gradient(op.parameter[1]));
      });
    }
    case OpKind::kActivation:
      return write(x, [&](float* dx) {
        activate_backward(pool_, static_cast<Activation>(n[1]), value(x), dy, n[0], dx);
      });
    case OpKind::kNormalise:
      return write(x, [&](float* dx) { normalise_backward(pool_, n[0], n[1], value(x), dy, dx); });
    case OpKind::kPrefix:
      return write(x, [&](float* dx) {
        put_prefix_backward(pool_, {n[0], n[1], n[2], n[3], nullptr, nullptr}, dy, dx,
                            parameter_gradient(op.parameter[0]), parameter_gradient(op.parameter[1]));
      });
    case OpKind::kPickToken:
      return pick_token_backward(pool_, {n[0], n[1], n[2]}, whole(op.value[1]), dy, sum(x));
    case OpKind::kMeanToken:
      return mean_token_backward(pool_, {n[0], n[1], n[2]}, n[3], whole(op.value[1]), dy, sum(x));
    default:
      return;  // GradientPlan lets no other pass
  }
}

void ReversePass::linear(const Op& op, WmCancelFlag cancelled) {
  const uint64_t rows = op.size[0], inputs = op.size[1], outputs = op.size[2];
  const bool transposed = op.size[3] != 0;
  const float* const dy = gradient(op.out);
  const float* const x = value(op.value[0]);
  float* const weights = parameter_gradient(op.parameter[0]);
  // dW = dY^T X, or X^T dY: both operands transposed by their strides.
  const WmMatrix by_output = matrix(dy, 1, outputs), by_input = matrix(x, 1, inputs);
  engine_.matmul(transposed ? product(inputs, outputs, rows, by_input, by_output, weights)
                            : product(outputs, inputs, rows, by_output, by_input, weights),
                 cancelled);
  if (float* const bias = parameter_gradient(op.parameter[1])) column_sums(pool_, dy, rows, outputs, bias);
  const float* const w = parameter(op.parameter[0]);
  write(op.value[0], [&](float* dx) {
    // dX = dY W.
    const WmMatrix by_column = transposed ? matrix(w, outputs, 1) : matrix(w, 1, inputs);
    if (dx) engine_.matmul(product(rows, inputs, outputs, matrix(dy, outputs, 1), by_column, dx), cancelled);
  });
}

void ReversePass::attention(const Op& op, WmCancelFlag cancelled) {
  const auto& n = op.size;
  WmAttentionGradient call{};
  call.forward = attention_call(op, value(op.value[0]), value(op.value[1]), value(op.value[2]),
                                whole(op.value[3]), nullptr);
  call.out_gradient = gradient(op.out);
  call.q_gradient = sum(op.value[0]) + n[10];
  call.k_gradient = sum(op.value[1]) + n[11];
  call.v_gradient = sum(op.value[2]) + n[12];
  engine_.attention_gradient(call, cancelled);
}

// The gradient of a sum is that of both its terms.
void ReversePass::hand_on(const Op& op) {
  const uint64_t count = op.size[0];
  const float* const dy = gradient(op.out);
  for (const uint32_t id : {op.value[0], op.value[1]}) {
    if (!plan_.wanted[id]) continue;
    float* const to = gradient(id);
    if (begun_[id]) {
      add(pool_, to, dy, count, to);
    } else if (to != dy) {
      std::copy_n(dy, count, to);
    }
    begun_[id] = true;
  }
}

}  // namespace wisemerge::train

#include "cuda/network_gradients.h"

#include <algorithm>
#include <string>

#include "cuda/attention_gradient.h"
#include "cuda/failure.h"
#include "cuda/network_launch.h"
#include "cuda/slot.h"

namespace wisemerge::cuda {
namespace {

using network::OpKind;

// One backward pass on its way to the stream.
class Gradient {
 public:
  Gradient(const GradientCall& call, std::byte* scratch, cudaStream_t stream)
      : call_(call), n_(call.operation.size), scratch_(scratch), stream_(stream) {}

  void linear() const {
    const uint64_t rows = n_[0], inputs = n_[1], outputs = n_[2];
    const bool transposed = n_[3] != 0;
    const float *const dy = call_.out_gradient, *const x = in(0), *const w = call_.parameter[0];
    // dW = dY^T X, or X^T dY: both operands transposed by their strides.
    const MatmulOperand by_output = operand(dy, 1, outputs), by_input = operand(x, 1, inputs);
    float* const weights = call_.parameter_gradient[0];
    if (transposed) {
      multiply(inputs, outputs, rows, by_input, by_output, weights);
    } else {
      multiply(outputs, inputs, rows, by_output, by_input, weights);
    }
    if (call_.parameter_gradient[1]) sum_columns(rows, outputs, call_.parameter_gradient[1]);
    if (!call_.value_gradient[0]) return;
    // dX = dY W.
    const MatmulOperand by_column = transposed ? operand(w, outputs, 1) : operand(w, 1, inputs);
    float* const dx = place();
    multiply(rows, inputs, outputs, operand(dy, outputs, 1), by_column, dx);
    add_spare(rows * inputs);
  }

  void layer_norm() const {
    const uint64_t rows = n_[0], width = n_[1];
    auto* const moments = reinterpret_cast<RowMoments*>(scratch_);
    run(MomentRows{rows, width, in(0), static_cast<float>(call_.real), moments});
    // Before the rows, which may take the place of dy.
    if (call_.parameter_gradient[1]) sum_columns(rows, width, call_.parameter_gradient[1]);
    if (call_.parameter_gradient[0]) {
      run(ColumnSums{rows, width, call_.out_gradient, in(0), moments, call_.parameter_gradient[0]});
    }
    if (!call_.value_gradient[0]) return;
    run(NormGradient{rows, width, in(0), call_.out_gradient, call_.parameter[0], moments, place()});
    add_spare(rows * width);
  }

  void normalise() const {
    run(NormGradient{n_[0], n_[1], in(0), call_.out_gradient, nullptr, nullptr, place()});
    add_spare(n_[0] * n_[1]);
  }

  void activation() const {
    ElementPass pass{};
    pass.kind = ElementPass::Kind::kActivationGradient;
    pass.activation = static_cast<network::Activation>(n_[1]);
    pass.x = in(0);
    pass.y = call_.out_gradient;
    pass.count = n_[0];
    pass.out = place();
    run(pass);
    add_spare(n_[0]);
  }

  // The gradient of a sum is that of both its terms.
  void sum() const {
    for (size_t i = 0; i < 2; i++) {
      float* const to = call_.value_gradient[i];
      if (!to) continue;
      if (call_.add[i]) {
        add(to, call_.out_gradient, n_[0]);
      } else if (to != call_.out_gradient) {
        check(
            cudaMemcpyAsync(to, call_.out_gradient, n_[0] * sizeof(float), cudaMemcpyDeviceToDevice, stream_),
            "copying on the device");
      }
    }
  }

  void prefix() const {
    const uint64_t batch = n_[0], front = n_[1], tokens = n_[2], width = n_[3];
    const float* const dy = call_.out_gradient;
    const uint64_t length = (front + tokens) * width;
    if (call_.value_gradient[0]) {
      run(TokensBehind{batch, front, tokens, width, dy, place()});
      add_spare(batch * tokens * width);
    }
    if (float* const to = call_.parameter_gradient[0])
      run(SequenceSums{batch, length, front * width, dy, to});
    if (float* const to = call_.parameter_gradient[1]) run(SequenceSums{batch, length, length, dy, to});
  }

  void token(bool picked) const {
    const auto* const whole = static_cast<const int32_t*>(call_.value[1]);
    run(TokenSpread{n_[0], n_[1], n_[2], picked ? 0 : n_[3], call_.add[0], call_.out_gradient,
                    picked ? whole : nullptr, picked ? nullptr : whole, call_.value_gradient[0]});
  }

  // What is added to begins as 0 where nothing is there. Values may be one: then the others are added to it.
  void attention() const {
    const uint64_t tokens = n_[0] * n_[1];
    const uint64_t counts[] = {tokens * n_[7], tokens * n_[8], tokens * n_[9]};
    for (size_t i = 0; i < 3; i++) {
      if (call_.add[i]) continue;
      check(cudaMemsetAsync(call_.value_gradient[i], 0, counts[i] * sizeof(float), stream_),
            "clearing device memory");
    }
    run_attention_gradient(call_, scratch_, stream_);
  }

 private:
  const float* in(size_t i) const { return static_cast<const float*>(call_.value[i]); }
  static MatmulOperand operand(const float* data, uint64_t row_stride, uint64_t column_stride) {
    return {data, row_stride, column_stride, DType::kF32};
  }

  // Where a pass that overwrites puts the gradient by the first value, and what brings it from there.
  float* place() const { return call_.add[0] ? call_.spare : call_.value_gradient[0]; }
  void add_spare(uint64_t count) const {
    if (call_.add[0]) add(call_.value_gradient[0], call_.spare, count);
  }

  void add(float* to, const float* more, uint64_t count) const {
    ElementPass pass{};
    pass.kind = ElementPass::Kind::kAdd;
    pass.x = pass.out = to;
    pass.y = more;
    pass.count = count;
    run(pass);
  }

  // out [m, n] = a w^T over k terms.
  void multiply(uint64_t m, uint64_t n, uint64_t k, const MatmulOperand& a, const MatmulOperand& w,
                float* out) const {
    MatmulBatch batch{};
    batch.product.m = static_cast<uint32_t>(m);
    batch.product.n = static_cast<uint32_t>(n);
    batch.product.k = static_cast<uint32_t>(k);
    batch.product.a = a;
    batch.product.w0 = w;
    batch.product.out = out;
    batch.product.out_stride = n;
    batch.items = batch.heads = 1;
    run(batch);
  }

  void sum_columns(uint64_t rows, uint64_t width, float* out) const {
    run(ColumnSums{rows, width, call_.out_gradient, nullptr, nullptr, out});
  }

  template <class Pass>
  void run(const Pass& pass) const {
    check(launch(pass, stream_), "launching a backward pass");
  }

  const GradientCall& call_;
  const uint64_t* const n_;
  std::byte* const scratch_;
  const cudaStream_t stream_;
};

}  // namespace

void check_gradient(const WmOperation& operation) {
  const auto refuse = [&](const std::string& why) {
    throw Failure{WM_INVALID_ARGUMENT, 0,
                  "the gradient of an operation of kind " + std::to_string(operation.kind) + ": " + why};
  };
  // Launches whose numbers of blocks are not those of the forward pass.
  constexpr uint64_t kLimit = INT32_MAX;
  const auto tiles = [&](uint64_t count) { return (count + kMatmulTile - 1) / kMatmulTile; };
  const uint64_t* const n = operation.size;
  switch (static_cast<OpKind>(operation.kind)) {
    case OpKind::kLinear:
      if (tiles(n[1]) * tiles(std::max(n[0], n[2])) > kLimit) refuse("larger than one launch takes");
      return;
    case OpKind::kAttention:
      if (n[3] == 0 || n[2] % n[3] != 0) refuse("heads that cannot be shared out");
      if (tiles(n[1]) * tiles(std::max(n[1], n[4])) > kLimit / std::max<uint64_t>(n[0] * n[3], 1)) {
        refuse("larger than one launch takes");
      }
      return;
    case OpKind::kLayerNorm:
    case OpKind::kNormalise:
    case OpKind::kActivation:
    case OpKind::kAdd:
    case OpKind::kPrefix:
    case OpKind::kPickToken:
    case OpKind::kMeanToken:
      return;
    default:
      refuse("there is none");
  }
}

uint64_t gradient_scratch(const WmOperation& operation) {
  switch (static_cast<OpKind>(operation.kind)) {
    case OpKind::kLayerNorm:
      return slot_bytes(operation.size[0] * sizeof(RowMoments));
    case OpKind::kAttention:
      return operation.size[3] == 0 ? 0 : attention_gradient_scratch(operation);
    default:
      return 0;
  }
}

void run_gradient(const GradientCall& call, std::byte* scratch, cudaStream_t stream) {
  const Gradient gradient(call, scratch, stream);
  switch (static_cast<OpKind>(call.operation.kind)) {
    case OpKind::kLinear:
      return gradient.linear();
    case OpKind::kLayerNorm:
      return gradient.layer_norm();
    case OpKind::kNormalise:
      return gradient.normalise();
    case OpKind::kActivation:
      return gradient.activation();
    case OpKind::kAdd:
      return gradient.sum();
    case OpKind::kPrefix:
      return gradient.prefix();
    case OpKind::kPickToken:
      return gradient.token(true);
    case OpKind::kMeanToken:
      return gradient.token(false);
    case OpKind::kAttention:
      return gradient.attention();
    default:
      return;  // check_gradient lets no other pass
  }
}

}  // namespace wisemerge::cuda

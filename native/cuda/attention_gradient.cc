#include "cuda/attention_gradient.h"

#include <algorithm>

#include "cuda/failure.h"
#include "cuda/slot.h"

namespace wisemerge::cuda {
namespace {

// Probabilities that exist at a time, 64 MiB, and as much for their gradients: some heads of some sequences,
// or one.
constexpr uint64_t kScoreFloats = 16u << 20;

// Sizes of an operation kAttention, by name.
struct Shape {
  uint64_t batch, tokens, heads, kv_heads, dim, q_stride, k_stride, v_stride, out_stride;
  uint64_t pitch, matrix;  // of the probabilities of a head, in floats

  explicit Shape(const uint64_t* n)
      : batch(n[0]),
        tokens(n[1]),
        heads(n[2]),
        kv_heads(n[3]),
        dim(n[4]),
        q_stride(n[7]),
        k_stride(n[8]),
        v_stride(n[9]),
        out_stride(n[2] * n[4]),
        pitch((n[1] + kMatmulQuad - 1) / kMatmulQuad * kMatmulQuad),
        matrix(pitch * n[1]) {}

  uint64_t items() const { return batch * kv_heads; }
  uint64_t chunk() const {
    return std::min(items(), std::max<uint64_t>(kScoreFloats / std::max<uint64_t>(matrix, 1), 1));
  }
};

// One head of queries for each head of keys of some sequences. With P the softmax and dO the gradient of the
// result:
//
//   dV += P^T dO    dP = dO V^T    dS = P * (dP - rowsum(P * dP))    dQ += scale dS K    dK += scale dS^T Q
class Heads {
 public:
  Heads(const GradientCall& call, const Shape& shape, uint64_t group, uint64_t first, uint64_t items,
        float* scratch, cudaStream_t stream)
      : call_(call),
        n_(call.operation.size),
        shape_(shape),
        group_(group),
        first_(static_cast<uint32_t>(first)),
        items_(static_cast<uint32_t>(items)),
        scores_(scratch),
        slopes_(scratch + shape.chunk() * shape.matrix),
        stream_(stream) {}

  void run() const {
    const Matrix q = queries(static_cast<const float*>(call_.value[0]) + n_[10], shape_.q_stride);
    const Matrix k = keys(static_cast<const float*>(call_.value[1]) + n_[11], shape_.k_stride);
    const Matrix v = keys(static_cast<const float*>(call_.value[2]) + n_[12], shape_.v_stride);
    const Matrix out = queries(call_.out_gradient, shape_.out_stride);
    const Matrix scores = matrices(scores_), slopes = matrices(slopes_);
    multiply(q, false, k, true, shape_.dim, scores, false);
    score_rows(nullptr);
    multiply(scores, true, out, false, shape_.tokens, keys(call_.value_gradient[2] + n_[12], shape_.v_stride),
             true);
    multiply(out, false, v, true, shape_.dim, slopes, false);
    score_rows(slopes_);
    multiply(slopes, false, k, false, shape_.tokens,
             queries(call_.value_gradient[0] + n_[10], shape_.q_stride), true);
    multiply(slopes, true, q, false, shape_.tokens, keys(call_.value_gradient[1] + n_[11], shape_.k_stride),
             true);
  }

 private:
  // [tokens, columns] of each item.
  struct Matrix {
    float* data;
    uint64_t stride, columns;
    MatmulBatch::Steps steps;
  };

  // Heads of queries `group` behind the first of each head of keys.
  Matrix queries(const float* data, uint64_t stride) const {
    const uint64_t together = shape_.heads / shape_.kv_heads * shape_.dim;
    return {const_cast<float*>(data) + group_ * shape_.dim,
            stride,
            shape_.dim,
            {shape_.tokens * stride, together, 0}};
  }
  Matrix keys(const float* data, uint64_t stride) const {
    return {const_cast<float*>(data), stride, shape_.dim, {shape_.tokens * stride, shape_.dim, 0}};
  }
  Matrix matrices(float* data) const { return {data, shape_.pitch, shape_.tokens, {0, 0, shape_.matrix}}; }

  // out = a w, or out += a w, for a and w or their transposes.
  void multiply(const Matrix& a, bool a_transposed, const Matrix& w, bool w_transposed, uint64_t depth,
                const Matrix& out, bool add) const {
    MatmulBatch batch{};
    batch.product.m = static_cast<uint32_t>(shape_.tokens);
    batch.product.n = static_cast<uint32_t>(out.columns);
    batch.product.k = static_cast<uint32_t>(depth);
    batch.product.a = operand(a, !a_transposed);
    batch.product.w0 = operand(w, w_transposed);
    batch.product.out = out.data;
    batch.product.out_stride = out.stride;
    batch.a = a.steps;
    batch.w = w.steps;
    batch.out = out.steps;
    batch.first = first_;
    batch.items = items_;
    batch.heads = static_cast<uint32_t>(shape_.kv_heads);
    batch.add = add;
    check(launch(batch, stream_), "launching a matrix product");
  }

  // `deep`: the depth lies along the matrix's rows.
  static MatmulOperand operand(const Matrix& matrix, bool deep) {
    return {matrix.data, deep ? matrix.stride : 1, deep ? 1 : matrix.stride, DType::kF32};
  }

  void score_rows(float* gradient) const {
    ScoreRows rows{};
    rows.first = first_;
    rows.items = items_;
    rows.heads = static_cast<uint32_t>(shape_.kv_heads);
    rows.tokens = static_cast<uint32_t>(shape_.tokens);
    rows.pitch = shape_.pitch;
    rows.mask = static_cast<const int32_t*>(call_.value[3]);
    rows.causal = n_[5] != 0;
    // A window that holds the whole sequence is none.
    rows.window = n_[6] < shape_.tokens ? static_cast<uint32_t>(n_[6]) : 0;
    rows.scale = static_cast<float>(call_.real);
    rows.scores = scores_;
    rows.gradient = gradient;
    check(launch(rows, stream_), "launching a softmax");
  }

  const GradientCall& call_;
  const uint64_t* const n_;
  const Shape& shape_;
  const uint64_t group_;
  const uint32_t first_, items_;
  float *const scores_, *const slopes_;
  const cudaStream_t stream_;
};

}  // namespace

uint64_t attention_gradient_scratch(const WmOperation& operation) {
  const Shape shape(operation.size);
  return slot_bytes(2 * shape.chunk() * shape.matrix * sizeof(float));
}

void run_attention_gradient(const GradientCall& call, std::byte* scratch, cudaStream_t stream) {
  const Shape shape(call.operation.size);
  const uint64_t step = shape.chunk(), group = shape.heads / shape.kv_heads;
  for (uint64_t first = 0; first < shape.items(); first += step) {
    const uint64_t items = std::min(step, shape.items() - first);
    // One after another: they add to the same gradients.
    for (uint64_t head = 0; head < group; head++) {
      Heads(call, shape, head, first, items, reinterpret_cast<float*>(scratch), stream).run();
    }
  }
}

}  // namespace wisemerge::cuda

#include "cpu/attention_gradient.h"

#include <algorithm>
#include <limits>

#include "cpu/attention_parts.h"

namespace wisemerge::cpu {
namespace {

// Rows of the softmax that exist at a time: the memory of a thread grows with the tokens, not with their
// square.
constexpr size_t kQueries = 96;

// One head of keys with all the heads of queries that read it. The softmax is computed again from q and k.
// With P the softmax and dO the gradient of the result:
//
//   dV = P^T dO    dP = dO V^T    dS = P * (dP - rowsum(P * dP))    dQ = scale dS K    dK = scale dS^T Q
class KeyHead {
 public:
  // Where the parts lie in the thread's scratch; each begins on a cache line.
  struct Layout {
    size_t keys, values, columns, transposed, scores, slopes, tail, zeros, floats;
    size_t stride;  // from one row of scores to the next

    Layout(const Kernels& kernels, size_t tokens, size_t head_dim) {
      size_t end = 0;
      const auto reserve = [&](size_t count) {
        const size_t at = end;
        end += ceil_div(count, 16) * 16;
        return at;
      };
      const size_t wide = kernels.tile_columns;
      const size_t token_columns = ceil_div(tokens, wide) * wide;
      const size_t dim_columns = ceil_div(head_dim, wide) * wide;
      stride = ceil_div(tokens, 16) * 16;
      keys = reserve(token_columns * head_dim);
      values = reserve(token_columns * head_dim);
      columns = reserve(dim_columns * tokens);
      transposed = reserve(dim_columns * kQueries);
      scores = reserve(kQueries * stride);
      slopes = reserve(kQueries * stride);
      tail = reserve(kernels.tile_rows * std::max({tokens, head_dim, kQueries}));
      zeros = reserve(wide);
      floats = end;
    }
  };

  KeyHead(const WmAttentionGradient& call, const Kernels& kernels, const Layout& layout, float* scratch,
          size_t sequence, size_t kv_head)
      : call_(call),
        at_(call.forward),
        kernels_(kernels),
        products_(kernels, scratch + layout.tail),
        layout_(layout),
        scratch_(scratch),
        token_(sequence * at_.tokens),
        kv_head_(kv_head),
        k_(at_.k + token_ * at_.k_stride + kv_head * at_.head_dim),
        v_(at_.v + token_ * at_.v_stride + kv_head * at_.head_dim),
        mask_(at_.mask ? at_.mask + token_ : nullptr) {}

  void run() {
    const size_t tokens = at_.tokens, dim = at_.head_dim;
    std::fill_n(part(layout_.zeros), kernels_.tile_columns, 0.0f);
    products_.pack(f32_matrix(k_, at_.k_stride, 1), tokens, dim, part(layout_.keys));
    products_.pack(f32_matrix(v_, at_.v_stride, 1), tokens, dim, part(layout_.values));
    products_.pack(f32_matrix(k_, 1, at_.k_stride), dim, tokens, part(layout_.columns));
    const size_t group = at_.heads / at_.kv_heads;
    for (size_t head = kv_head_ * group; head < (kv_head_ + 1) * group; head++) {
      for (size_t first = 0; first < tokens; first += kQueries) {
        add_queries(head, first, std::min(kQueries, tokens - first));
      }
    }
  }

 private:
  float* part(size_t offset) const { return scratch_ + offset; }

  void add_queries(size_t head, size_t first, size_t rows) const {
    const size_t tokens = at_.tokens, dim = at_.head_dim, stride = layout_.stride, row = token_ + first;
    const float* const q = at_.q + row * at_.q_stride + head * dim;
    const float* const out = call_.out_gradient + row * at_.out_stride + head * dim;
    float* const scores = part(layout_.scores);
    float* const slopes = part(layout_.slopes);
    float* const transposed = part(layout_.transposed);
    const float* const zeros = part(layout_.zeros);
    products_.multiply(f32_matrix(q, at_.q_stride, 1), part(layout_.keys), rows, tokens, dim, zeros, scores,
                       stride);
    for (size_t i = 0; i < rows; i++) softmax(scores + i * stride, first + i);

    // dV += P^T dO.
    float* const v_gradient = call_.v_gradient + token_ * at_.v_stride + kv_head_ * dim;
    products_.pack(f32_matrix(out, 1, at_.out_stride), dim, rows, transposed);
    products_.multiply(f32_matrix(scores, 1, stride), transposed, tokens, dim, rows, nullptr, v_gradient,
                       at_.v_stride);

    products_.multiply(f32_matrix(out, at_.out_stride, 1), part(layout_.values), rows, tokens, dim, zeros,
                       slopes, stride);
    for (size_t i = 0; i < rows; i++) score_slopes(scores + i * stride, slopes + i * stride);

    // dQ += dS K.
    float* const q_gradient = call_.q_gradient + row * at_.q_stride + head * dim;
    products_.multiply(f32_matrix(slopes, stride, 1), part(layout_.columns), rows, dim, tokens, nullptr,
                       q_gradient, at_.q_stride);

    // dK += dS^T Q.
    float* const k_gradient = call_.k_gradient + token_ * at_.k_stride + kv_head_ * dim;
    products_.pack(f32_matrix(q, 1, at_.q_stride), dim, rows, transposed);
    products_.multiply(f32_matrix(slopes, 1, stride), transposed, tokens, dim, rows, nullptr, k_gradient,
                       at_.k_stride);
  }

  // Scores of position i to probabilities; a position that attends to nothing gives zeros.
  void softmax(float* row, size_t i) const {
    leave_out(at_, mask_, i, 0, at_.tokens, layout_.stride, row);
    float max = -std::numeric_limits<float>::infinity(), sum = 0;
    kernels_.attention_row(row, layout_.stride, at_.scale, &max, &sum);
    const float factor = sum > 0 ? 1.0f / sum : sum;
    for (size_t j = 0; j < at_.tokens; j++) row[j] *= factor;
  }

  // Gradients of one row of probabilities to those of its scores.
  void score_slopes(const float* p, float* slopes) const {
    double mean = 0;
    for (size_t j = 0; j < at_.tokens; j++) {
      mean += static_cast<double>(p[j]) * static_cast<double>(slopes[j]);
    }
    const float middle = static_cast<float>(mean);
    for (size_t j = 0; j < at_.tokens; j++) slopes[j] = at_.scale * p[j] * (slopes[j] - middle);
  }

  const WmAttentionGradient& call_;
  const WmAttention& at_;
  const Kernels& kernels_;
  const HeadProducts products_;
  const Layout& layout_;
  float* const scratch_;
  const size_t token_, kv_head_;
  const float *const k_, *const v_;
  const int32_t* const mask_;
};

}  // namespace

WmCode run_attention_gradient(WmContext& context, const WmAttentionGradient& call, WmCancelFlag cancelled,
                              WmError* error) {
  WmAttention forward = call.forward;
  // What is checked of the result is its layout.
  forward.out = call.q_gradient;
  const WmCode code = check_attention(forward, error);
  if (code != WM_OK) return code;
  const size_t heads = forward.batch * forward.kv_heads;
  if (heads * forward.tokens == 0) return WM_OK;
  if (!call.out_gradient || !call.k_gradient || !call.v_gradient) {
    return fail(error, WM_INVALID_ARGUMENT, "attention: a gradient is null");
  }
  const Kernels& kernels = *context.kernels;
  const KeyHead::Layout layout(kernels, forward.tokens, forward.head_dim);
  context.scratch.prepare(static_cast<size_t>(context.pool.size()), layout.floats);
  context.pool.parallel_for(heads, 1, [&](size_t begin, size_t end) {
    const ThreadScratch::Loan loan(context.scratch);
    for (size_t unit = begin; unit < end && !raised(cancelled); unit++) {
      KeyHead(call, kernels, layout, loan.data(), unit / forward.kv_heads, unit % forward.kv_heads).run();
    }
  });
  return raised(cancelled) ? WM_CANCELLED : WM_OK;
}

}  // namespace wisemerge::cpu

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
    size_t keys, values, columns, queries, outs, transposed, scores, slopes, packed, zeros, floats;
    size_t stride;  // from one row of scores to the next

    Layout(const Kernels& kernels, size_t tokens, size_t head_dim) {
      size_t end = 0;
      const auto reserve = [&](size_t count) {
        const size_t at = end;
        end += ceil_div(count, 16) * 16;
        return at;
      };
      const size_t wide = kernels.tile_columns, high = kernels.tile_rows;
      const size_t rows = ceil_div(kQueries, high) * high;
      const size_t token_rows = ceil_div(tokens, high) * high;
      const size_t token_columns = ceil_div(tokens, wide) * wide;
      const size_t dim_columns = ceil_div(head_dim, wide) * wide;
      stride = ceil_div(tokens, 16) * 16;
      keys = reserve(token_columns * head_dim);
      values = reserve(token_columns * head_dim);
      columns = reserve(dim_columns * tokens);
      queries = reserve(rows * head_dim);
      outs = reserve(rows * head_dim);
      transposed = reserve(dim_columns * kQueries);
      scores = reserve(kQueries * stride);
      slopes = reserve(kQueries * stride);
      packed = reserve(std::max(rows * tokens, token_rows * kQueries));
      zeros = reserve(wide);
      floats = end;
    }
  };

  KeyHead(const WmAttentionGradient& call, const Kernels& kernels, const Layout& layout, float* scratch,
          size_t sequence, size_t kv_head)
      : call_(call),
        at_(call.forward),
        kernels_(kernels),
        layout_(layout),
        scratch_(scratch),
        token_(sequence * at_.tokens),
        kv_head_(kv_head),
        k_(at_.k + token_ * at_.k_stride + kv_head * at_.head_dim),
        v_(at_.v + token_ * at_.v_stride + kv_head * at_.head_dim),
        mask_(at_.mask ? at_.mask + token_ : nullptr) {}

  void run() {
    const size_t tokens = at_.tokens, dim = at_.head_dim, wide = kernels_.tile_columns;
    std::fill_n(part(layout_.zeros), wide, 0.0f);
    pack(f32_matrix(k_, at_.k_stride, 1), tokens, dim, wide, part(layout_.keys));
    pack(f32_matrix(v_, at_.v_stride, 1), tokens, dim, wide, part(layout_.values));
    pack(f32_matrix(k_, 1, at_.k_stride), dim, tokens, wide, part(layout_.columns));
    const size_t group = at_.heads / at_.kv_heads;
    for (size_t head = kv_head_ * group; head < (kv_head_ + 1) * group; head++) {
      for (size_t first = 0; first < tokens; first += kQueries) {
        add_queries(head, first, std::min(kQueries, tokens - first));
      }
    }
  }

 private:
  float* part(size_t offset) const { return scratch_ + offset; }

  // Rows in tiles of `width`, each [depth, width].
  void pack(const WmMatrix& from, size_t rows, size_t depth, size_t width, float* to) const {
    for (size_t i = 0; i < rows; i += width) {
      kernels_.matmul_pack(from, nullptr, 0, i, std::min(width, rows - i), 0, depth, width, to + i * depth);
    }
  }

  // c = a w^T, or c += where `start` is null, from packed tiles.
  void multiply(const float* a, const float* w, size_t rows, size_t columns, size_t depth, const float* start,
                float* c, size_t stride) const {
    for (size_t j = 0; j < columns; j += kernels_.tile_columns) {
      for (size_t i = 0; i < rows; i += kernels_.tile_rows) {
        kernels_.matmul_tile(a + i * depth, 1, kernels_.tile_rows, w + j * depth, depth, start,
                             c + i * stride + j, stride, std::min(kernels_.tile_rows, rows - i),
                             std::min(kernels_.tile_columns, columns - j));
      }
    }
  }

  void add_queries(size_t head, size_t first, size_t rows) const {
    const size_t tokens = at_.tokens, dim = at_.head_dim, stride = layout_.stride;
    const size_t high = kernels_.tile_rows, wide = kernels_.tile_columns, row = token_ + first;
    const float* const q = at_.q + row * at_.q_stride + head * dim;
    const float* const out = call_.out_gradient + row * at_.out_stride + head * dim;
    float* const scores = part(layout_.scores);
    float* const slopes = part(layout_.slopes);
    float* const packed = part(layout_.packed);
    float* const transposed = part(layout_.transposed);
    pack(f32_matrix(q, at_.q_stride, 1), rows, dim, high, part(layout_.queries));
    multiply(part(layout_.queries), part(layout_.keys), rows, tokens, dim, part(layout_.zeros), scores,
             stride);
    for (size_t i = 0; i < rows; i++) softmax(scores + i * stride, first + i);

    // dV += P^T dO.
    float* const v_gradient = call_.v_gradient + token_ * at_.v_stride + kv_head_ * dim;
    pack(f32_matrix(scores, 1, stride), tokens, rows, high, packed);
    pack(f32_matrix(out, 1, at_.out_stride), dim, rows, wide, transposed);
    multiply(packed, transposed, tokens, dim, rows, nullptr, v_gradient, at_.v_stride);

    pack(f32_matrix(out, at_.out_stride, 1), rows, dim, high, part(layout_.outs));
    multiply(part(layout_.outs), part(layout_.values), rows, tokens, dim, part(layout_.zeros), slopes,
             stride);
    for (size_t i = 0; i < rows; i++) score_slopes(scores + i * stride, slopes + i * stride);

    // dQ += dS K.
    float* const q_gradient = call_.q_gradient + row * at_.q_stride + head * dim;
    pack(f32_matrix(slopes, stride, 1), rows, tokens, high, packed);
    multiply(packed, part(layout_.columns), rows, dim, tokens, nullptr, q_gradient, at_.q_stride);

    // dK += dS^T Q.
    float* const k_gradient = call_.k_gradient + token_ * at_.k_stride + kv_head_ * dim;
    pack(f32_matrix(slopes, 1, stride), tokens, rows, high, packed);
    pack(f32_matrix(q, 1, at_.q_stride), dim, rows, wide, transposed);
    multiply(packed, transposed, tokens, dim, rows, nullptr, k_gradient, at_.k_stride);
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

#include "cpu/attention.h"

#include <algorithm>
#include <limits>

#include "cpu/attention_parts.h"
#include "wisemerge/attention.h"

namespace wisemerge::cpu {
namespace {

// Scores of a block, 48 KiB, and the packed keys and values of a head stay in the L2 cache.
constexpr size_t kQueries = kAttentionQueries, kKeys = kAttentionKeys;

// One block of queries of one head against all keys that any of them attends to.
class QueryBlock {
 public:
  // Where the parts lie in the thread's scratch; each begins on a cache line.
  struct Layout {
    size_t tail, keys, values, scores, sums, zeros, floats;

    Layout(const Kernels& kernels, size_t head_dim) {
      size_t end = 0;
      const auto reserve = [&](size_t count) {
        const size_t at = end;
        end += ceil_div(count, 16) * 16;
        return at;
      };
      const size_t columns = ceil_div(kKeys, kernels.tile_columns) * kernels.tile_columns;
      tail = reserve(kernels.tile_rows * std::max(head_dim, kKeys));
      keys = reserve(columns * head_dim);
      values = reserve(ceil_div(head_dim, kernels.tile_columns) * kernels.tile_columns * kKeys);
      scores = reserve(kQueries * kKeys);
      sums = reserve(2 * kQueries);
      zeros = reserve(kernels.tile_columns);
      floats = end;
    }
  };

  QueryBlock(const WmAttention& call, const Kernels& kernels, const Layout& layout, float* scratch,
             size_t sequence, size_t head, size_t first)
      : call_(call),
        kernels_(kernels),
        products_(kernels, scratch + layout.tail),
        rows_(std::min<size_t>(kQueries, call.tokens - first)),
        first_(first),
        keys_(scratch + layout.keys),
        values_(scratch + layout.values),
        scores_(scratch + layout.scores),
        max_(scratch + layout.sums),
        sum_(scratch + layout.sums + kQueries),
        zeros_(scratch + layout.zeros),
        mask_(call.mask ? call.mask + sequence * call.tokens : nullptr) {
    const size_t token = sequence * call.tokens, kv_head = head / (call.heads / call.kv_heads);
    out_ = call.out + (token + first) * call.out_stride + head * call.head_dim;
    q_ = call.q + (token + first) * call.q_stride + head * call.head_dim;
    k_ = call.k + token * call.k_stride + kv_head * call.head_dim;
    v_ = call.v + token * call.v_stride + kv_head * call.head_dim;
  }

  void run() {
    std::fill_n(max_, rows_, -std::numeric_limits<float>::infinity());
    std::fill_n(sum_, rows_, 0.0f);
    std::fill_n(zeros_, kernels_.tile_columns, 0.0f);
    for (size_t i = 0; i < rows_; i++) std::fill_n(out_ + i * call_.out_stride, call_.head_dim, 0.0f);
    const auto [begin, end] =
        attention_keys(call_.tokens, call_.causal != 0, call_.window, first_, first_ + rows_);
    for (size_t j = begin; j < end; j += kKeys) add_keys(j, std::min<size_t>(kKeys, end - j));
    for (size_t i = 0; i < rows_; i++) {
      const float factor = sum_[i] > 0 ? 1.0f / sum_[i] : sum_[i] == 0 ? 0.0f : sum_[i];
      float* const row = out_ + i * call_.out_stride;
      for (size_t c = 0; c < call_.head_dim; c++) row[c] *= factor;
    }
  }

 private:
  void add_keys(size_t first, size_t count) {
    const float* const k = k_ + first * call_.k_stride;
    const float* const v = v_ + first * call_.v_stride;
    products_.pack(f32_matrix(k, call_.k_stride, 1), count, call_.head_dim, keys_);
    products_.multiply(f32_matrix(q_, call_.q_stride, 1), keys_, rows_, count, call_.head_dim, zeros_,
                       scores_, kKeys);
    const size_t padded = ceil_div(count, 16) * 16;
    for (size_t i = 0; i < rows_; i++) {
      float* const row = scores_ + i * kKeys;
      leave_out(call_, mask_, first_ + i, first, count, padded, row);
      const float shrink = kernels_.attention_row(row, padded, call_.scale, max_ + i, sum_ + i);
      if (shrink == 1) continue;
      float* const out = out_ + i * call_.out_stride;
      for (size_t c = 0; c < call_.head_dim; c++) out[c] *= shrink;
    }
    products_.pack(f32_matrix(v, 1, call_.v_stride), call_.head_dim, count, values_);
    products_.multiply(f32_matrix(scores_, kKeys, 1), values_, rows_, call_.head_dim, count, nullptr, out_,
                       call_.out_stride);
  }

  const WmAttention& call_;
  const Kernels& kernels_;
  const HeadProducts products_;
  const size_t rows_, first_;
  float *const keys_, *const values_, *const scores_;
  float *const max_, *const sum_, *const zeros_;
  const int32_t* const mask_;
  float* out_;
  const float *q_, *k_, *v_;
};

}  // namespace

WmCode run_attention(WmContext& context, const WmAttention& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check_attention(call, error);
  if (code != WM_OK) return code;
  const Kernels& kernels = *context.kernels;
  const QueryBlock::Layout layout(kernels, call.head_dim);
  context.scratch.prepare(static_cast<size_t>(context.pool.size()), layout.floats);
  const size_t blocks = ceil_div(call.tokens, kQueries);
  context.pool.parallel_for(call.batch * call.heads * blocks, 1, [&](size_t begin, size_t end) {
    const ThreadScratch::Loan loan(context.scratch);
    for (size_t unit = begin; unit < end && !raised(cancelled); unit++) {
      const size_t head = unit / blocks;
      QueryBlock(call, kernels, layout, loan.data(), head / call.heads, head % call.heads,
                 unit % blocks * kQueries)
          .run();
    }
  });
  return raised(cancelled) ? WM_CANCELLED : WM_OK;
}

}  // namespace wisemerge::cpu

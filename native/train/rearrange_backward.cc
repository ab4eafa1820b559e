#include "train/rearrange_backward.h"

#include <algorithm>

#include "network/activations.h"

namespace wisemerge::train {

using namespace network;

void put_prefix_backward(ThreadPool& pool, const Prefix& call, const float* dy, float* dx, float* front,
                         float* positions) {
  const size_t length = call.prefix + call.tokens, width = call.width;
  if (dx) {
    pool.parallel_for(call.batch, grain_of(call.tokens * width), [&](size_t begin, size_t end) {
      for (size_t b = begin; b < end; b++) {
        std::copy_n(dy + (b * length + call.prefix) * width, call.tokens * width,
                    dx + b * call.tokens * width);
      }
    });
  }
  // The first `count` numbers of every sequence, summed.
  const auto sum = [&](size_t count, float* out) {
    pool.parallel_for(count, grain_of(call.batch), [&](size_t begin, size_t end) {
      std::fill(out + begin, out + end, 0.0f);
      for (size_t b = 0; b < call.batch; b++) {
        const float* const sequence = dy + b * length * width;
        for (size_t j = begin; j < end; j++) out[j] += sequence[j];
      }
    });
  };
  if (front) sum(call.prefix * width, front);
  if (positions) sum(length * width, positions);
}

void pick_token_backward(ThreadPool& pool, const Pool& call, const int32_t* index, const float* dy,
                         float* dx) {
  const size_t width = call.width;
  pool.parallel_for(call.batch, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      float* const to = dx + (i * call.tokens + static_cast<size_t>(index[i])) * width;
      for (size_t j = 0; j < width; j++) to[j] += dy[i * width + j];
    }
  });
}

void mean_token_backward(ThreadPool& pool, const Pool& call, size_t first, const int32_t* mask,
                         const float* dy, float* dx) {
  const size_t width = call.width;
  pool.parallel_for(call.batch, grain_of(call.tokens * width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const int32_t* const wanted = mask ? mask + i * call.tokens : nullptr;
      float count = 0;
      for (size_t t = first; t < call.tokens; t++) count += !wanted || wanted[t] != 0 ? 1 : 0;
      for (size_t t = first; t < call.tokens; t++) {
        if (wanted && wanted[t] == 0) continue;
        float* const to = dx + (i * call.tokens + t) * width;
        for (size_t j = 0; j < width; j++) to[j] += dy[i * width + j] / count;
      }
    }
  });
}

}  // namespace wisemerge::train

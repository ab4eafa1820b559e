#include "network/rearrange.h"

#include <algorithm>

#include "network/activations.h"

namespace wisemerge::network {

void cut_patches(ThreadPool& pool, const Patches& call, const float* x, float* out) {
  const size_t side = call.patch, squares = call.squares(), across = call.across();
  const size_t depth = call.channels * side * side;
  pool.parallel_for(call.images * squares, grain_of(depth), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const size_t image = i / squares, top = i % squares / across * side, left = i % squares % across * side;
      float* to = out + i * depth;
      for (size_t c = 0; c < call.channels; c++) {
        for (size_t row = 0; row < side; row++, to += side) {
          std::copy_n(x + ((image * call.channels + c) * call.height + top + row) * call.width + left, side,
                      to);
        }
      }
    }
  });
}

void put_prefix(ThreadPool& pool, const Prefix& call, const float* x, float* out) {
  const size_t length = call.prefix + call.tokens, width = call.width;
  pool.parallel_for(call.batch * length, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const size_t sequence = i / length, token = i % length;
      const float* const from = token < call.prefix
                                    ? call.front + token * width
                                    : x + (sequence * call.tokens + token - call.prefix) * width;
      float* const to = out + i * width;
      if (call.positions) {
        const float* const position = call.positions + token * width;
        for (size_t j = 0; j < width; j++) to[j] = from[j] + position[j];
      } else {
        std::copy_n(from, width, to);
      }
    }
  });
}

void pick_token(ThreadPool& pool, const Pool& call, const float* x, const int32_t* index, float* out) {
  pool.parallel_for(call.batch, grain_of(call.width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      std::copy_n(x + (i * call.tokens + static_cast<size_t>(index[i])) * call.width, call.width,
                  out + i * call.width);
    }
  });
}

void mean_token(ThreadPool& pool, const Pool& call, size_t first, const float* x, const int32_t* mask,
                float* out) {
  const size_t width = call.width;
  pool.parallel_for(call.batch, grain_of(call.tokens * width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const sequence = x + i * call.tokens * width;
      const int32_t* const wanted = mask ? mask + i * call.tokens : nullptr;
      double count = 0;
      for (size_t t = first; t < call.tokens; t++) count += !wanted || wanted[t] != 0 ? 1 : 0;
      for (size_t j = 0; j < width; j++) {
        double sum = 0;
        for (size_t t = first; t < call.tokens; t++) {
          if (!wanted || wanted[t] != 0) sum += static_cast<double>(sequence[t * width + j]);
        }
        out[i * width + j] = static_cast<float>(sum / count);
      }
    }
  });
}

}  // namespace wisemerge::network

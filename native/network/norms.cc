#include "network/norms.h"

#include <cmath>

#include "network/activations.h"
#include "wisemerge/lane_sum.h"

namespace wisemerge::network {

void layer_norm(ThreadPool& pool, const LayerNorm& call, const float* x, float* out) {
  const size_t width = call.width;
  const cpu::Kernels& kernels = host_kernels();
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      kernels.layer_norm_row(x + i * width, width, call.weight, call.bias, call.epsilon, out + i * width);
    }
  });
}

void rms_norm(ThreadPool& pool, size_t rows, size_t width, const float* weight, float epsilon, const float* x,
              float* out) {
  pool.parallel_for(rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      float* const to = out + i * width;
      const double mean =
          lane_sum<float>(width, [&](size_t j) { return in[j] * in[j]; }) / static_cast<double>(width);
      const float factor = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(epsilon)));
      for (size_t j = 0; j < width; j++) to[j] = in[j] * factor * weight[j];
    }
  });
}

void normalise(ThreadPool& pool, size_t rows, size_t width, const float* x, float* out) {
  pool.parallel_for(rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      float* const to = out + i * width;
      const double squares = lane_sum<float>(width, [&](size_t j) { return in[j] * in[j]; });
      const float factor = static_cast<float>(1.0 / std::sqrt(squares));
      for (size_t j = 0; j < width; j++) to[j] = in[j] * factor;
    }
  });
}

}  // namespace wisemerge::network

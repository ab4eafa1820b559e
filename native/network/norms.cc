#include "network/norms.h"

#include <cmath>

#include "network/activations.h"
#include "wisemerge/lane_sum.h"

namespace wisemerge::network {

RowMoments row_moments(const float* x, size_t width, float epsilon) {
  const double count = static_cast<double>(width);
  const float mean = static_cast<float>(lane_sum<float>(width, [&](size_t j) { return x[j]; }) / count);
  const double variance =
      lane_sum<float>(width, [&](size_t j) { return (x[j] - mean) * (x[j] - mean); }) / count;
  return {mean, static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(epsilon)))};
}

void layer_norm(ThreadPool& pool, const LayerNorm& call, const float* x, float* out) {
  const size_t width = call.width;
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      float* const to = out + i * width;
      const auto [mean, scale] = row_moments(in, width, call.epsilon);
      for (size_t j = 0; j < width; j++) to[j] = (in[j] - mean) * scale;
      if (call.weight) {
        for (size_t j = 0; j < width; j++) to[j] *= call.weight[j];
      }
      if (call.bias) {
        for (size_t j = 0; j < width; j++) to[j] += call.bias[j];
      }
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

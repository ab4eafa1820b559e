#include "train/passes.h"

#include <algorithm>
#include <cmath>

#include "train/functions.h"
#include "train/sums.h"

namespace wisemerge::train {
namespace {

// Elements that cost more to compute than a thread to wake.
constexpr size_t kGrain = 32u << 10;

}  // namespace

size_t grain_of(size_t width) { return std::max<size_t>(1, kGrain / std::max<size_t>(1, width)); }

void activate(ThreadPool& pool, Activation activation, const float* x, size_t count, float* out) {
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    if (activation == Activation::kGelu) {
      for (size_t i = begin; i < end; i++) out[i] = gelu(x[i]);
    } else {
      // Written so that NaN passes.
      for (size_t i = begin; i < end; i++) out[i] = x[i] < 0.0f ? 0.0f : x[i];
    }
  });
}

void activate_backward(ThreadPool& pool, Activation activation, const float* x, size_t count,
                       float* gradient) {
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    if (activation == Activation::kGelu) {
      for (size_t i = begin; i < end; i++) gradient[i] *= gelu_slope(x[i]);
    } else {
      for (size_t i = begin; i < end; i++) gradient[i] = x[i] > 0.0f ? gradient[i] : 0.0f;
    }
  });
}

void layer_norm(ThreadPool& pool, const LayerNorm& call, const float* x, float* out, float* mean,
                float* scale) {
  const size_t width = call.width;
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      float* const to = out + i * width;
      const double count = static_cast<double>(width);
      const float center =
          static_cast<float>(lane_sum<float>(width, [&](size_t j) { return in[j]; }) / count);
      const double variance =
          lane_sum<float>(width, [&](size_t j) { return (in[j] - center) * (in[j] - center); }) / count;
      const float factor = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(call.epsilon)));
      for (size_t j = 0; j < width; j++) to[j] = (in[j] - center) * factor;
      if (call.weight) {
        for (size_t j = 0; j < width; j++) to[j] *= call.weight[j];
      }
      if (call.bias) {
        for (size_t j = 0; j < width; j++) to[j] += call.bias[j];
      }
      mean[i] = center;
      scale[i] = factor;
    }
  });
}

void layer_norm_backward(ThreadPool& pool, const LayerNorm& call, const float* x, const float* mean,
                         const float* scale, float* gradient, float* weight_gradient, float* bias_gradient) {
  const size_t width = call.width;
  // Before the rows, which overwrite the gradient.
  if (bias_gradient) column_sums(pool, gradient, call.rows, width, bias_gradient);
  if (weight_gradient) {
    pool.parallel_for(width, grain_of(call.rows), [&](size_t begin, size_t end) {
      for (size_t j = begin; j < end; j++) weight_gradient[j] = 0;
      for (size_t i = 0; i < call.rows; i++) {
        for (size_t j = begin; j < end; j++) {
          weight_gradient[j] += gradient[i * width + j] * ((x[i * width + j] - mean[i]) * scale[i]);
        }
      }
    });
  }
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      float* const row = gradient + i * width;
      const float center = mean[i], factor = scale[i];
      if (call.weight) {
        for (size_t j = 0; j < width; j++) row[j] *= call.weight[j];
      }
      const double count = static_cast<double>(width);
      const float average =
          static_cast<float>(lane_sum<float>(width, [&](size_t j) { return row[j]; }) / count);
      const float along = static_cast<float>(
          lane_sum<float>(width, [&](size_t j) { return row[j] * ((in[j] - center) * factor); }) / count);
      for (size_t j = 0; j < width; j++) {
        row[j] = factor * (row[j] - average - (in[j] - center) * factor * along);
      }
    }
  });
}

void column_sums(ThreadPool& pool, const float* x, size_t rows, size_t width, float* out) {
  pool.parallel_for(width, grain_of(rows), [&](size_t begin, size_t end) {
    for (size_t j = begin; j < end; j++) out[j] = 0;
    for (size_t i = 0; i < rows; i++) {
      for (size_t j = begin; j < end; j++) out[j] += x[i * width + j];
    }
  });
}

}  // namespace wisemerge::train

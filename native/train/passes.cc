#include "train/passes.h"

#include "network/functions.h"
#include "network/sums.h"

namespace wisemerge::train {

using namespace network;

namespace {

// Elements that cost more to compute than a thread to wake.
constexpr size_t kGrain = 32u << 10;

}  // namespace

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

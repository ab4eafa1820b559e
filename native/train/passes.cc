#include "train/passes.h"

#include <cmath>
#include <vector>

#include "wisemerge/lane_sum.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::train {

using namespace network;

namespace {

// Elements that cost more to compute than a thread to wake.
constexpr size_t kGrain = 32u << 10;

}  // namespace

void activate_backward(ThreadPool& pool, Activation activation, const float* x, const float* dy, size_t count,
                       float* dx) {
  // A loop for each function, so that it is compiled for it.
  const auto run = [&]<Activation K>() {
    pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) dx[i] = activation_gradient(K, x[i], dy[i]);
    });
  };
  switch (activation) {
    case Activation::kGelu:
      return run.operator()<Activation::kGelu>();
    case Activation::kRelu:
      return run.operator()<Activation::kRelu>();
    case Activation::kQuickGelu:
      return run.operator()<Activation::kQuickGelu>();
    case Activation::kGeluTanh:
      return run.operator()<Activation::kGeluTanh>();
    case Activation::kSilu:
      return run.operator()<Activation::kSilu>();
    case Activation::kTanh:
      return run.operator()<Activation::kTanh>();
  }
}

void layer_norm_backward(ThreadPool& pool, const LayerNorm& call, const float* x, const float* dy, float* dx,
                         float* weight_gradient, float* bias_gradient) {
  const size_t width = call.width;
  std::vector<RowMoments> moments(call.rows);
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) moments[i] = row_moments(x + i * width, width, call.epsilon);
  });
  // Before the rows, which may overwrite dy.
  if (bias_gradient) column_sums(pool, dy, call.rows, width, bias_gradient);
  if (weight_gradient) {
    pool.parallel_for(width, grain_of(call.rows), [&](size_t begin, size_t end) {
      for (size_t j = begin; j < end; j++) weight_gradient[j] = 0;
      for (size_t i = 0; i < call.rows; i++) {
        const auto [mean, scale] = moments[i];
        for (size_t j = begin; j < end; j++) {
          weight_gradient[j] += dy[i * width + j] * ((x[i * width + j] - mean) * scale);
        }
      }
    });
  }
  if (!dx) return;
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      const float* const up = dy + i * width;
      float* const row = dx + i * width;
      const auto [mean, scale] = moments[i];
      for (size_t j = 0; j < width; j++) row[j] = call.weight ? up[j] * call.weight[j] : up[j];
      const double count = static_cast<double>(width);
      const float average =
          static_cast<float>(lane_sum<float>(width, [&](size_t j) { return row[j]; }) / count);
      const float along = static_cast<float>(
          lane_sum<float>(width, [&](size_t j) { return row[j] * ((in[j] - mean) * scale); }) / count);
      for (size_t j = 0; j < width; j++) row[j] = scale * (row[j] - average - (in[j] - mean) * scale * along);
    }
  });
}

void normalise_backward(ThreadPool& pool, size_t rows, size_t width, const float* x, const float* dy,
                        float* dx) {
  pool.parallel_for(rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      const float* const up = dy + i * width;
      const double squares = lane_sum<float>(width, [&](size_t j) { return in[j] * in[j]; });
      const double product = lane_sum<float>(width, [&](size_t j) { return in[j] * up[j]; });
      const float along = static_cast<float>(product / squares);
      const float scale = static_cast<float>(1.0 / std::sqrt(squares));
      for (size_t j = 0; j < width; j++) dx[i * width + j] = scale * (up[j] - in[j] * along);
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

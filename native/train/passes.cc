#include "train/passes.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "wisemerge/lane_sum.h"

namespace wisemerge::train {

using namespace network;

namespace {

// Runs body(begin, end) for ranges of the columns of a [rows, width] matrix: whole cache lines, so that each
// is read by one thread.
template <class Body>
void for_columns(ThreadPool& pool, size_t rows, size_t width, const Body& body) {
  constexpr size_t kLine = 16;
  const size_t grain = std::max<size_t>(1, grain_of(rows) / kLine);
  pool.parallel_for((width + kLine - 1) / kLine, grain,
                    [&](size_t begin, size_t end) { body(begin * kLine, std::min(end * kLine, width)); });
}

}  // namespace

void activate_backward(ThreadPool& pool, Activation activation, const float* x, const float* dy, size_t count,
                       float* dx) {
  pool.parallel_for(count, grain_of(1), [&](size_t begin, size_t end) {
    host_kernels().activate_backward(activation, x + begin, dy + begin, end - begin, dx + begin);
  });
}

void layer_norm_backward(ThreadPool& pool, const LayerNorm& call, const float* x, const float* dy, float* dx,
                         float* weight_gradient, float* bias_gradient) {
  const size_t width = call.width;
  const cpu::Kernels& kernels = host_kernels();
  std::vector<cpu::RowMoments> moments(call.rows);
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      moments[i] = kernels.row_moments(x + i * width, width, call.epsilon);
    }
  });
  // Before the rows, which may overwrite dy.
  if (bias_gradient) column_sums(pool, dy, call.rows, width, bias_gradient);
  if (weight_gradient) {
    for_columns(pool, call.rows, width, [&](size_t begin, size_t end) {
      kernels.layer_norm_weight_gradient(x, dy, moments.data(), call.rows, width, begin, end,
                                         weight_gradient);
    });
  }
  if (!dx) return;
  pool.parallel_for(call.rows, grain_of(width), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      kernels.layer_norm_row_backward(x + i * width, dy + i * width, width, call.weight, moments[i],
                                      dx + i * width);
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
  for_columns(pool, rows, width,
              [&](size_t begin, size_t end) { host_kernels().column_sums(x, rows, width, begin, end, out); });
}

}  // namespace wisemerge::train

// The backward passes of normalisations, row by row, as train/passes.h has them: half a warp per row.
#pragma once

#include "cuda/kernels/row_norms.h"

namespace wisemerge::cuda {

// As network::RowMoments.
struct RowMoments {
  float mean, scale;
};

// Those of the rows of x.
struct MomentRows {
  uint64_t rows, width;
  const float* x;
  float epsilon;
  RowMoments* out;
};

WM_HD void moment_rows_body(const GridPosition& at, const MomentRows& call) {
  each_row(at, call.rows, [&](uint64_t row, const RowLanes& lanes, bool write) {
    const float* const x = call.x + row * call.width;
    const double count = static_cast<double>(call.width);
    const float mean =
        static_cast<float>(row_sum(lanes, call.width, [&](uint64_t j) { return x[j]; }) / count);
    const double variance =
        row_sum(lanes, call.width, [&](uint64_t j) { return (x[j] - mean) * (x[j] - mean); }) / count;
    const float scale = static_cast<float>(1.0 / sqrt(variance + static_cast<double>(call.epsilon)));
    if (write && lanes.own == 0) call.out[row] = {mean, scale};
  });
}

// dx of a layer normalisation or, without moments, of rows of length 1. dx may be dy.
struct NormGradient {
  uint64_t rows, width;
  const float *x, *dy, *weight;  // weight: may be null
  const RowMoments* moments;     // [rows]
  float* dx;
};

WM_HD void layer_gradient(const NormGradient& call, uint64_t row, const RowLanes& lanes, bool write) {
  const uint64_t width = call.width;
  const float *const x = call.x + row * width, *const dy = call.dy + row * width;
  const float mean = call.moments[row].mean, scale = call.moments[row].scale;
  const auto up = [&](uint64_t j) { return call.weight ? dy[j] * call.weight[j] : dy[j]; };
  const double count = static_cast<double>(width);
  const float average = static_cast<float>(row_sum(lanes, width, up) / count);
  const float along = static_cast<float>(
      row_sum(lanes, width, [&](uint64_t j) { return up(j) * ((x[j] - mean) * scale); }) / count);
  if (!write) return;
  lanes.each([&](uint32_t lane) {
    for (uint64_t j = lane; j < width; j += kRowLanes) {
      call.dx[row * width + j] = scale * (up(j) - average - (x[j] - mean) * scale * along);
    }
  });
}

WM_HD void length_gradient(const NormGradient& call, uint64_t row, const RowLanes& lanes, bool write) {
  const uint64_t width = call.width;
  const float *const x = call.x + row * width, *const dy = call.dy + row * width;
  const double squares = row_sum(lanes, width, [&](uint64_t j) { return x[j] * x[j]; });
  const double product = row_sum(lanes, width, [&](uint64_t j) { return x[j] * dy[j]; });
  const float along = static_cast<float>(product / squares);
  const float scale = static_cast<float>(1.0 / sqrt(squares));
  if (!write) return;
  lanes.each([&](uint32_t lane) {
    for (uint64_t j = lane; j < width; j += kRowLanes) {
      call.dx[row * width + j] = scale * (dy[j] - x[j] * along);
    }
  });
}

WM_HD void norm_gradient_body(const GridPosition& at, const NormGradient& call) {
  each_row(at, call.rows, [&](uint64_t row, const RowLanes& lanes, bool write) {
    if (call.moments) {
      layer_gradient(call, row, lanes, write);
    } else {
      length_gradient(call, row, lanes, write);
    }
  });
}

}  // namespace wisemerge::cuda

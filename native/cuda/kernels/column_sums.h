// Sums over the rows of a matrix, each a chain in ascending order as on the CPU. A block of threads brings
// 128 rows of 32 columns to shared memory at once; one warp adds them up.
#pragma once

#include "cuda/kernels/row_gradients.h"

namespace wisemerge::cuda {

// out[j] = sum over i of x[i][j] or, with moments, of x[i][j] * ((of[i][j] - mean) * scale): the gradient of
// the weight of a layer normalisation of `of`.
struct ColumnSums {
  uint64_t rows, width;
  const float *x, *of;
  const RowMoments* moments;
  float* out;
};

inline constexpr uint32_t kColumnThreads = 256, kColumnWidth = 32, kColumnRows = 128;

struct ColumnShared {
  float terms[kColumnRows][kColumnWidth];
};

struct ColumnThread {
  uint32_t number;
  float sum;

  // All loads before the first store: they are on their way together.
  WM_HD void stage(const ColumnSums& call, uint64_t row, uint64_t column, ColumnShared& shared) const {
    constexpr uint32_t kStep = kColumnThreads / kColumnWidth, kLines = kColumnRows / kStep;
    const uint64_t j = column + number % kColumnWidth;
    const uint32_t line = number / kColumnWidth;
    const auto there = [&](uint32_t r) { return row + r * kStep + line < call.rows && j < call.width; };
    const auto at = [&](uint32_t r) { return (row + r * kStep + line) * call.width + j; };
    float terms[kLines];
    WM_UNROLL
    for (uint32_t r = 0; r < kLines; r++) terms[r] = there(r) ? call.x[at(r)] : 0;
    if (call.moments) {
      WM_UNROLL
      for (uint32_t r = 0; r < kLines; r++) {
        const RowMoments moments = there(r) ? call.moments[row + r * kStep + line] : RowMoments{0, 0};
        terms[r] *= ((there(r) ? call.of[at(r)] : 0) - moments.mean) * moments.scale;
      }
    }
    WM_UNROLL
    for (uint32_t r = 0; r < kLines; r++) shared.terms[r * kStep + line][number % kColumnWidth] = terms[r];
  }

  WM_HD void add(uint64_t count, const ColumnShared& shared) {
    if (number >= kColumnWidth) return;
    for (uint32_t r = 0; r < count; r++) sum += shared.terms[r][number];
  }
};

// Columns from `block` * kColumnWidth on by a team of threads: team(body) has every thread run body(thread),
// then waits for all of them.
template <class Team>
WM_HD void sum_columns(const ColumnSums& call, uint32_t block, ColumnShared& shared, Team& team) {
  const uint64_t column = uint64_t{block} * kColumnWidth;
  for (uint64_t row = 0; row < call.rows; row += kColumnRows) {
    const uint64_t left = call.rows - row;
    team([&](ColumnThread& thread) {
      if (row == 0) thread.sum = 0;
      thread.stage(call, row, column, shared);
    });
    team([&](ColumnThread& thread) { thread.add(left < kColumnRows ? left : kColumnRows, shared); });
  }
  team([&](ColumnThread& thread) {
    const uint64_t j = column + thread.number;
    if (thread.number < kColumnWidth && j < call.width) call.out[j] = call.rows > 0 ? thread.sum : 0;
  });
}

WM_HD uint64_t column_blocks(const ColumnSums& call) {
  return (call.width + kColumnWidth - 1) / kColumnWidth;
}

}  // namespace wisemerge::cuda

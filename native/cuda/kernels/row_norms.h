// Normalisations of the rows of a matrix: half a warp per row, whose lanes are the interleaved partial sums
// of wisemerge/lane_sum.h, so that the bits are the CPU's.
#pragma once

#include "cuda/kernels/ends.h"
#include "cuda/kernels/lanes.h"
#include "wisemerge/lane_sum.h"

namespace wisemerge::cuda {

inline constexpr uint32_t kRowLanes = static_cast<uint32_t>(network::kSumLanes);
using RowLanes = Lanes<kRowLanes>;

// Layer normalisation, root mean square normalisation, or rows of length 1, as network/norms.h has them. out
// may be x.
struct RowNorm {
  enum class Kind : uint8_t { kLayer, kRootMeanSquare, kLength };
  Kind kind;
  uint64_t rows, width;
  const float* x;
  float* out;
  Ends weight, bias;  // x null: none
  float epsilon;
};

// Calls body(row, lanes, write) for every row. All threads of a group have the same row, and all groups of a
// warp go round together, the last time with a row that is not written. at.threads is a multiple of a warp;
// any grid.
template <class Body>
WM_HD void each_row(const GridPosition& at, uint64_t rows, Body body) {
  const uint64_t groups = at.threads / kRowLanes;
  const RowLanes lanes = {at.thread % kRowLanes};
  for (uint64_t first = at.block * groups; first < rows; first += at.blocks * groups) {
    const uint64_t row = first + at.thread / kRowLanes;
    body(row < rows ? row : rows - 1, lanes, row < rows);
  }
}

// The sum over a row, term(j) for column j.
template <class Term>
WM_HD double row_sum(const RowLanes& lanes, uint64_t width, Term term) {
  return lanes.ordered_sum([&](uint32_t lane) {
    float sum = 0;
    for (uint64_t j = lane; j < width; j += kRowLanes) sum += term(j);
    return sum;
  });
}

// All threads of a group have the same row.
WM_HD void row_norm(const RowNorm& call, uint64_t row, const RowLanes& lanes, bool write) {
  const float* const x = call.x + row * call.width;
  float* const out = call.out + row * call.width;
  const double count = static_cast<double>(call.width), epsilon = static_cast<double>(call.epsilon);
  float mean = 0;
  double size = 0;
  if (call.kind == RowNorm::Kind::kLayer) {
    mean = static_cast<float>(row_sum(lanes, call.width, [&](uint64_t j) { return x[j]; }) / count);
    size = row_sum(lanes, call.width, [&](uint64_t j) { return (x[j] - mean) * (x[j] - mean); });
  } else {
    size = row_sum(lanes, call.width, [&](uint64_t j) { return x[j] * x[j]; });
  }
  if (call.kind != RowNorm::Kind::kLength) size = size / count + epsilon;
  const float scale = static_cast<float>(1.0 / sqrt(size));
  if (!write) return;
  lanes.each([&](uint32_t lane) {
    for (uint64_t j = lane; j < call.width; j += kRowLanes) {
      float value = (call.kind == RowNorm::Kind::kLayer ? x[j] - mean : x[j]) * scale;
      if (call.weight.x) value *= interpolated(call.weight, j);
      if (call.bias.x) value += interpolated(call.bias, j);
      out[j] = value;
    }
  });
}

WM_HD void row_norm_body(const GridPosition& at, const RowNorm& call) {
  each_row(at, call.rows,
           [&](uint64_t row, const RowLanes& lanes, bool write) { row_norm(call, row, lanes, write); });
}

}  // namespace wisemerge::cuda

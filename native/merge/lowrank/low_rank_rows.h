// The numbers by which JavaScript describes steps of a decomposition, as core/head_rows.h has them: byte
// offsets into one arena.
//
//   difference  xDtype x yDtype y count out
//   decompose   matrix rows columns rank energy dtype transposed a b
#pragma once

#include <cstddef>
#include <cstdint>

#include "merge/lowrank/truncated_svd.h"

namespace wisemerge {

// out[e] = y[e] - x[e] in f32, computed in f64 where one of them is.
struct DifferenceTask {
  DType x_dtype, y_dtype;
  uint64_t count;
  const void *x, *y;
  float* out;
};

// Both throw Error: ERR_INTERNAL_RANGE, ERR_INTERNAL_ARGUMENT. The key of a task is not among its numbers.
DifferenceTask parse_difference(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
LowRankTask parse_decompose(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);

// Gives the number of elements that are not finite. Throws as Engine::merge_combine.
uint64_t run_difference(Engine& engine, const DifferenceTask& task, WmCancelFlag cancelled);

}  // namespace wisemerge

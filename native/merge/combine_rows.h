// The numbers by which JavaScript describes a weighted sum of ranges of several tensors, as core/head_rows.h
// has them: byte offsets into one arena.
//
//   combine  outDtype out count, then for each input dtype x
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/engine.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// out[e] = sum of weights[i] x[i][e], as the method "linear" makes it.
struct CombineTask {
  uint64_t count;
  DType out_dtype;
  void* out;
  std::vector<const void*> x;
  std::vector<int32_t> dtypes;
  std::vector<double> weights;
};

// As many inputs as weights. Throws Error: ERR_INTERNAL_RANGE, ERR_INTERNAL_ARGUMENT.
CombineTask parse_combine(const double* numbers, size_t length, std::vector<double> weights, uint8_t* arena,
                          uint64_t bytes);

// Gives the number of elements that are not finite. Throws as Engine::merge_combine.
uint64_t run_combine(Engine& engine, const CombineTask& task, WmCancelFlag cancelled);

}  // namespace wisemerge

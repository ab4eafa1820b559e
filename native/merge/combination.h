// The output as a linear combination of the inputs, with one coefficient per model.
#pragma once

#include <vector>

#include "merge/tensor_run.h"

namespace wisemerge {

// Whether coefficients add up to 1, but for rounding.
bool is_mean(const std::vector<double>& coefficients);

// sum of c_i x_i. Where the coefficients add up to 1 it is taken from one of the inputs on, x_a + sum of c_i
// (x_i - x_a), which leaves alone what all models agree on; and one input alone is copied. The base, if any,
// is not among the models.
void write_combination(TensorRun& run, const std::vector<double>& coefficients);

// base + sum of c_i d_i. Nothing of the deltas, or all of one, is a copy: base + (x - base) is not always x.
void write_delta_sum(TensorRun& run, const std::vector<double>& coefficients);

// Both with the coefficients of each row or column, [vector][model].
void write_vectors(TensorRun& run, WmMergeAxis axis, const std::vector<double>& coefficients);

// Index of <i, j>, i <= j, in the rows of WmMergeGram for `models` models.
inline size_t gram_index(size_t i, size_t j, size_t models) {
  if (i > j) return gram_index(j, i, models);
  return i * models - i * (i + 1) / 2 + j;
}

}  // namespace wisemerge

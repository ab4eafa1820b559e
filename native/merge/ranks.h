// Keys by their rank in O(n), without sorting: histograms of 16 bits of the keys at a time, from the highest
// down, narrow a rank to one key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "merge/tensor_run.h"

namespace wisemerge {

inline constexpr uint32_t kDigit = 16;
inline constexpr size_t kTable = size_t{1} << kDigit;

// Of a range of a tensor that a sweep visits, by its first element: how many of something it has.
struct RangeCount {
  uint64_t first, count;
};

// A key by its rank among all elements of the tensor, ascending from 0.
struct RankQuery {
  uint32_t model;
  int32_t score;
  const double* row_scores;
  uint64_t rank;
  // Found: the element's key, and how many keys are below it and equal to it.
  uint64_t key = 0, below = 0, equal = 0;
  // Of equal ones, how many are in each range; empty where keys were too many to remember.
  std::vector<RangeCount> ranges = {};
};

// One sweep per 16 bits of the keys, whatever the number of queries. Of a tensor that is read again for each
// sweep, keys of 32 bits take one sweep and, a second time, the ranges whose last digits were not guessed
// right.
void find_ranks(TensorRun& run, std::vector<RankQuery>& queries);

// Element of a WM_SCORE_ROW_SCALED query's rank as a number.
double score_of_key(uint64_t key, bool wide);

}  // namespace wisemerge

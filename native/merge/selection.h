// Exact selection by rank in O(n), without sorting: histograms of 16 bits of the keys at a time, from the
// highest down, narrow a rank to one key; equal keys are told apart by their index in the tensor.
#pragma once

#include <cstdint>
#include <vector>

#include "merge/tensor_run.h"

namespace wisemerge {

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

// One sweep per 16 bits of the keys, whatever the number of queries.
void find_ranks(TensorRun& run, std::vector<RankQuery>& queries);

// Element of a WM_SCORE_ROW_SCALED query's rank as a number.
double score_of_key(uint64_t key, bool wide);

// Per model (all of `keeps`), the `kept[i]` elements of the highest scores; among equals those of the lowest
// index. 0 < kept[i] < count, or all, or none.
std::vector<WmKeep> keep_largest(TensorRun& run, int32_t score, const std::vector<uint64_t>& kept);

// Per model, the elements of rank from[i] up to to[i] (not included) in ascending order of (|d|, index).
std::vector<WmKeep> keep_between(TensorRun& run, const std::vector<uint64_t>& from,
                                 const std::vector<uint64_t>& to);

WmKeep keep_all();
WmKeep keep_none();

}  // namespace wisemerge

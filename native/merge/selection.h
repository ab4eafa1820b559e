// Exact selection by rank (ranks.h); equal keys are told apart by their index in the tensor.
#pragma once

#include <cstdint>
#include <vector>

#include "merge/ranks.h"

namespace wisemerge {

// Per model (all of `keeps`), the `kept[i]` elements of the highest scores; among equals those of the lowest
// index. 0 < kept[i] < count, or all, or none.
std::vector<WmKeep> keep_largest(TensorRun& run, int32_t score, const std::vector<uint64_t>& kept);

// Per model, the elements of rank from[i] up to to[i] (not included) in ascending order of (|d|, index).
std::vector<WmKeep> keep_between(TensorRun& run, const std::vector<uint64_t>& from,
                                 const std::vector<uint64_t>& to);

WmKeep keep_all();
WmKeep keep_none();

}  // namespace wisemerge

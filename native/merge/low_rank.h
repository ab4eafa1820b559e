// Applies a low-rank addend to a range of a matrix.
#pragma once

#include <cstdint>

#include "merge/merge_job.h"

namespace wisemerge {

// out[e] = matrix element first + e, widened, plus the addend's: in f32 (f64 for an F64 matrix), where each
// addend is a sum over the rank in ascending order, then scaled. `out` holds `count`
// elements of that type.
void add_low_rank(const LowRank& addend, DType dtype, const void* matrix, uint64_t first, uint64_t count,
                  void* out);

}  // namespace wisemerge

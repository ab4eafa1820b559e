// The numbers by which JavaScript describes a decomposition, as core/head_rows.h has them: byte offsets into
// one arena.
//
//   decompose  matrix rows columns rank energy dtype transposed a b
#pragma once

#include <cstddef>
#include <cstdint>

#include "merge/lowrank/truncated_svd.h"

namespace wisemerge {

// Throws Error: ERR_INTERNAL_RANGE, ERR_INTERNAL_ARGUMENT. The key of a task is not among its numbers.
LowRankTask parse_decompose(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);

}  // namespace wisemerge

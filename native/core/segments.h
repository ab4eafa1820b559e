// The rows of numbers by which JavaScript describes one block of work: tensor ranges inside one arena (a host
// buffer), as byte offsets. Parsing checks everything a kernel would otherwise trust, so that a wrong caller
// gets an error and never touches memory outside the arena.
//
//   lerp row:     xDtype yDtype outDtype count xOffset yOffset out0Offset .. out(K-1)Offset
//   compare row:  xDtype yDtype count xOffset yOffset
//
// Dtypes are wisemerge::DType values of kind float, counts are elements. Offsets need no alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wisemerge/dtype.h"

namespace wisemerge {

struct LerpSegment {
  DType x_dtype, y_dtype, out_dtype;
  uint64_t count, x_offset, y_offset;
};

struct LerpSegments {
  uint32_t alpha_count = 0;
  std::vector<LerpSegment> rows;
  std::vector<uint64_t> out_offsets;  // [row][alpha]
  std::vector<uint32_t> alpha_sets;   // [row]: which alphas of a table; empty: the first ones
};

struct CompareSegment {
  DType x_dtype, y_dtype;
  uint64_t count, x_offset, y_offset;
};

inline constexpr size_t kLerpColumns = 6;  // plus one per alpha
inline constexpr size_t kCompareColumns = 5;

// Throw Error: ERR_INTERNAL_RANGE (a range leaves the arena, or an output overlaps another range, in any
// row), ERR_INTERNAL_ARGUMENT (dtype, whole numbers, row length).
LerpSegments parse_lerp_segments(const double* numbers, size_t length, uint32_t alpha_count,
                                 uint64_t arena_bytes);
std::vector<CompareSegment> parse_compare_segments(const double* numbers, size_t length,
                                                   uint64_t arena_bytes);

}  // namespace wisemerge

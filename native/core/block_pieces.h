// A block's interpolation in pieces that stay in a core's cache, and where its output may lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/segments.h"

namespace wisemerge {

// Hands `use` segments of up to `bytes` of output each, in order, with the row of `all` that each of their
// rows is part of. A row of `all` may come in several pieces, a piece may hold several rows.
void for_each_piece(
    const LerpSegments& all, uint64_t bytes,
    const std::function<void(const LerpSegments& piece, const std::vector<size_t>& rows)>& use);

// Moves an output of `length` bytes from `out` on to where it is written over x as x is read: to the last
// page boundary that is not behind x. Returns where it begins then: `out` where that cannot be, because there
// are several alphas, x has another dtype, a part of the output is not interpolated or lies elsewhere in x,
// elements are not aligned, or y is in the way.
uint64_t place_over_x(LerpSegments& segments, uint64_t out, uint64_t length);

}  // namespace wisemerge

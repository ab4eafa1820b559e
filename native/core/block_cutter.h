// Cuts a stream's work into blocks that fit a slot.
#pragma once

#include <vector>

#include "core/block.h"
#include "core/stream_work.h"

namespace wisemerge {

// A range of an output: in the order of its file, at whole pages where elements allow it. A block is
// `shape.block` bytes unless its inputs would not fit their regions (many scattered tensors), which halves
// it. Segments to compare: whole spans (kCompareSpan elements) that fill the regions, so that the order of
// summation does not depend on the memory.
// Throws Error ERR_INTERNAL_RANGE where not even a page of output, or a span, fits.
std::vector<Block> cut_blocks(const StreamWork& work, const SlotShape& shape);

}  // namespace wisemerge

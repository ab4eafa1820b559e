// The numbers by which JavaScript describes a batch of blocks (core/block_stream.h), block after block:
//
//   reads copies segments output position length
//   reads times      fd position length wanted at
//   copies times     from outAt length                                (lerp stream)
//   segments times   xDtype yDtype outDtype count xAt yAt outAt set   (lerp stream)
//                    xDtype yDtype count xAt yAt                      (compare stream)
//
// `set` is the number of the segment's alphas in BlockStreamOptions::alphas. outAt counts from the start of
// each output's region, everything else from the start of the slot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/block_stream.h"

namespace wisemerge {

// `outs` are the regions of the outputs, none for a compare stream. Throws Error as parse_lerp_segments does.
std::vector<Block> parse_blocks(const double* numbers, size_t length, const std::vector<uint64_t>& outs,
                                uint64_t slot_bytes);

}  // namespace wisemerge

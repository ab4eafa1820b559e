// Runs the segments of an arena on an engine. Backends want operands aligned to their element size; a tensor
// of a safetensors file may start anywhere, so misaligned operands go through an aligned temporary, piece by
// piece, and the rest go to the backend in one call.
#pragma once

#include <vector>

#include "core/engine.h"
#include "core/segments.h"
#include "wisemerge/compare.h"

namespace wisemerge {

// `alphas` are a table of sets of `segments.alpha_count` (see LerpSegments::alpha_sets), or one such set.
// Returns the number of NaN and infinite output elements, [row][alpha]. Throws as Engine::lerp.
std::vector<uint64_t> lerp_arena(Engine& engine, uint8_t* arena, const LerpSegments& segments,
                                 const std::vector<double>& alphas, WmCancelFlag cancelled);

// Returns the sums of each span of kCompareSpan elements, rows in order. Throws as Engine::compare.
std::vector<CompareSums> compare_arena(Engine& engine, const uint8_t* arena,
                                       const std::vector<CompareSegment>& segments, WmCancelFlag cancelled);

}  // namespace wisemerge

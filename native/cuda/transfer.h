// Ranges of host memory to and from the memory of a network.
#pragma once

#include <cstddef>

#include "cuda/context.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

// Copies `count` ranges to (`up`) or from `memory` through the context's slots, each as much at a time as a
// slot holds; ordered behind what the compute stream has been given, and before what it is given next. WM_OK
// or WM_CANCELLED; throws Failure.
WmCode transfer(WmContext& context, const WmTransfer* transfers, uint32_t count, std::byte* memory, bool up,
                WmCancelFlag cancelled);

}  // namespace wisemerge::cuda

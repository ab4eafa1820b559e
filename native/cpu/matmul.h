// The matrix product of the CPU backend: WmMatmul cut into blocks that fit the caches.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

WmCode run_matmul(WmContext& context, const WmMatmul& call, WmCancelFlag cancelled, WmError* error);

}  // namespace wisemerge::cpu

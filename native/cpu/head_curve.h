// The exact curve of a linear head: head_path on the logits of matmul, without an array of logits.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

WmCode run_curve(WmContext& context, const WmCurve& call, WmCancelFlag cancelled, WmError* error);

}  // namespace wisemerge::cpu

// The gradient of attention on the CPU.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

WmCode run_attention_gradient(WmContext& context, const WmAttentionGradient& call, WmCancelFlag cancelled,
                              WmError* error);

}  // namespace wisemerge::cpu

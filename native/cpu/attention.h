// Attention on the CPU: WmAttention in blocks of queries and keys.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

WmCode run_attention(WmContext& context, const WmAttention& call, WmCancelFlag cancelled, WmError* error);

}  // namespace wisemerge::cpu

// The backend's attention from an operation kAttention.
#pragma once

#include "network/ops.h"
#include "wisemerge/backend.h"

namespace wisemerge::network {

// q, k and v are the operation's values, whose rows may hold more than the heads; `out` is its result.
inline WmAttention attention_call(const Op& op, const float* q, const float* k, const float* v,
                                  const int32_t* mask, float* out) {
  const auto& n = op.size;
  WmAttention call{};
  call.batch = n[0];
  call.tokens = n[1];
  call.heads = n[2];
  call.kv_heads = n[3];
  call.head_dim = n[4];
  call.causal = n[5] != 0;
  call.window = n[6];
  call.q_stride = n[7];
  call.k_stride = n[8];
  call.v_stride = n[9];
  call.q = q + n[10];
  call.k = k + n[11];
  call.v = v + n[12];
  call.mask = mask;
  call.scale = static_cast<float>(op.real);
  call.out = out;
  call.out_stride = n[2] * n[4];
  return call;
}

}  // namespace wisemerge::network

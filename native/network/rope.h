// Rotary position embedding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"

namespace wisemerge::network {

// Rotary position embedding (Su et al., 2021) of `heads` vectors of head_dim numbers per token, in the layout
// that pairs component c with c + pairs: both are turned by the angle positions[token] * frequencies[c], in
// f32, and multiplied by `scale`. Components from 2 * pairs on stay as they are. out may be x.
struct Rope {
  size_t tokens, heads, head_dim, pairs;
  const int32_t* positions;  // [tokens]
  const float* frequencies;  // [pairs]
  float scale;
};
void rope(ThreadPool& pool, const Rope& call, const float* x, float* out);

}  // namespace wisemerge::network

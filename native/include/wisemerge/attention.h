// What the backends' attention has in common, so that its results have the same bits.
#pragma once

#include <cstdint>

#include "wisemerge/macros.h"

namespace wisemerge {

// A softmax takes keys in blocks, counted from the first key of a sequence. Queries go in blocks too, and all
// of a block meet the same keys: those that any of them attends to, in whole blocks.
inline constexpr uint32_t kAttentionQueries = 96, kAttentionKeys = 128;

struct KeyRange {
  uint64_t begin, end;
};

// The keys that the block meets whose first query is `first` and whose last lies before `last`.
WM_HD KeyRange attention_keys(uint64_t tokens, bool causal, uint64_t window, uint64_t first, uint64_t last) {
  const uint64_t begin = window && first + 1 > window ? first + 1 - window : 0;
  return {begin / kAttentionKeys * kAttentionKeys, causal ? last : tokens};
}

}  // namespace wisemerge

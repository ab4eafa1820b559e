// The kernels of networks run on the host, thread after thread: what is between two barriers in any order of
// threads.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/element_passes.h"
#include "cuda/kernels/rearrange.h"
#include "cuda/kernels/rotary.h"
#include "cuda/kernels/row_norms.h"
#include "cuda/kernels/token_losses.h"
#include "cuda_host_kernels.h"

namespace wisemerge::test {

// Every thread of `blocks` blocks.
template <class Call, class Body>
void threads_on_host(const Call& call, uint32_t blocks, Body body) {
  groups_on_host<1>(call, blocks, 32, body);
}

inline void network_on_host(const cuda::TableRows& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::table_rows_body);
}
inline void network_on_host(const cuda::ElementPass& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::element_pass_body);
}
inline void network_on_host(const cuda::RowNorm& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kRowLanes>(call, blocks, 4, cuda::row_norm_body);
}
inline void network_on_host(const cuda::PatchCut& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rearrange_body<cuda::PatchCut>);
}
inline void network_on_host(const cuda::FrontTokens& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rearrange_body<cuda::FrontTokens>);
}
inline void network_on_host(const cuda::TokenPool& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rearrange_body<cuda::TokenPool>);
}
inline void network_on_host(const cuda::Rotary& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rotary_body);
}
inline void network_on_host(const cuda::TokenLosses& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kRowLanes>(call, blocks, 4, cuda::token_losses_body);
}

struct HostTeam {
  std::vector<cuda::AttentionThread> threads;

  explicit HostTeam(bool descending) : threads(cuda::kAttentionThreads) {
    for (uint32_t t = 0; t < threads.size(); t++) threads[t].number = t;
    if (descending) std::reverse(threads.begin(), threads.end());
  }
  template <class Body>
  void operator()(Body body) {
    for (cuda::AttentionThread& thread : threads) body(thread);
  }
};

inline void network_on_host(const cuda::Attention& call, bool descending = false) {
  HostTeam team(descending);
  cuda::AttentionShared shared;
  for (uint32_t tile = 0; tile < cuda::attention_tiles(call); tile++) cuda::attend(call, tile, shared, team);
}

}  // namespace wisemerge::test

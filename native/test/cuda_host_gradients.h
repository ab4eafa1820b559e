// The kernels of training run on the host, thread after thread: what is between two barriers in any order of
// threads.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/kernels/attention_gradient.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/matmul_batch.h"
#include "cuda/kernels/optimizer.h"
#include "cuda/kernels/rearrange_gradients.h"
#include "cuda_host_network.h"

namespace wisemerge::test {

// As matmul_batch goes through its tiles.
inline void network_on_host(const cuda::MatmulBatch& call, bool descending = false) {
  for (uint32_t item = 0; item < call.items; item++) {
    matmul_on_host(call.at(item), descending, [&](cuda::MatmulThread& thread) {
      if (call.add) cuda::resume_sums(thread);
    });
  }
}

inline void network_on_host(const cuda::MomentRows& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kRowLanes>(call, blocks, 4, cuda::moment_rows_body);
}
inline void network_on_host(const cuda::NormGradient& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kRowLanes>(call, blocks, 4, cuda::norm_gradient_body);
}
inline void network_on_host(const cuda::ScoreRows& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kRowLanes>(call, blocks, 4, cuda::score_rows_body);
}
inline void network_on_host(const cuda::SquareSums& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kRowLanes>(call, blocks, 4, cuda::square_sums_body);
}
inline void network_on_host(const cuda::TokensBehind& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rearrange_body<cuda::TokensBehind>);
}
inline void network_on_host(const cuda::SequenceSums& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rearrange_body<cuda::SequenceSums>);
}
inline void network_on_host(const cuda::TokenSpread& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::rearrange_body<cuda::TokenSpread>);
}
inline void network_on_host(const cuda::AdamWPass& call, uint32_t blocks = 1) {
  threads_on_host(call, blocks, cuda::adamw_pass_body);
}

struct HostColumnTeam {
  std::vector<cuda::ColumnThread> threads;

  explicit HostColumnTeam(bool descending) : threads(cuda::kColumnThreads) {
    for (uint32_t t = 0; t < threads.size(); t++) threads[t].number = t;
    if (descending) std::reverse(threads.begin(), threads.end());
  }
  template <class Body>
  void operator()(Body body) {
    for (cuda::ColumnThread& thread : threads) body(thread);
  }
};

inline void network_on_host(const cuda::ColumnSums& call, bool descending = false) {
  HostColumnTeam team(descending);
  cuda::ColumnShared shared;
  for (uint32_t block = 0; block < cuda::column_blocks(call); block++) {
    cuda::sum_columns(call, block, shared, team);
  }
}

}  // namespace wisemerge::test

// The kernels of matrix products and heads run on the host, thread after thread: what is between two barriers
// in any order of threads.
#pragma once

#include <vector>

#include "cuda/kernels/head_metrics.h"
#include "cuda/kernels/head_moments.h"
#include "cuda/kernels/head_path.h"
#include "cuda/kernels/matmul.h"

namespace wisemerge::test {

// As matmul_tiles_kernel goes through its tiles.
inline void matmul_on_host(const cuda::Matmul& call, bool descending = false) {
  using cuda::MatmulThread;
  for (uint64_t tile = 0; tile < cuda::matmul_tiles(call); tile++) {
    cuda::MatmulShared shared[2];
    std::vector<MatmulThread> threads;
    for (uint32_t t = 0; t < cuda::kMatmulThreads; t++) {
      threads.emplace_back(call, static_cast<uint32_t>(tile), descending ? cuda::kMatmulThreads - 1 - t : t);
    }
    if (call.k > 0) {
      for (MatmulThread& thread : threads) {
        thread.fetch(0);
        thread.store(shared[0]);
      }
      uint32_t turn = 0;
      for (uint32_t step = cuda::kMatmulDepth; step < call.k; step += cuda::kMatmulDepth, turn ^= 1) {
        for (MatmulThread& thread : threads) {
          thread.fetch(step);
          thread.multiply(shared[turn]);
          thread.store(shared[turn ^ 1]);
        }
      }
      for (MatmulThread& thread : threads) thread.multiply(shared[turn]);
    }
    for (const MatmulThread& thread : threads) thread.write();
  }
}

// One thread per group of lanes stands for all of them (lanes.h), in `blocks` blocks of `groups`.
template <uint32_t Width, class Call, class Body>
void groups_on_host(const Call& call, uint32_t blocks, uint32_t groups, Body body) {
  for (uint32_t block = 0; block < blocks; block++) {
    for (uint32_t group = 0; group < groups; group++)
      body({block, blocks, group * Width, groups * Width}, call);
  }
}

inline void path_on_host(const cuda::HeadPath& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kPathLanes>(call, blocks, 8, cuda::path_body);
}

inline void metrics_on_host(const cuda::HeadMetrics& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kClassLanes>(call, blocks, 16, cuda::metrics_body);
  groups_on_host<1>(call, blocks, 32, cuda::metrics_sums_body);
}

inline void moments_on_host(const cuda::HeadMoments& call, uint32_t blocks = 1) {
  groups_on_host<cuda::kClassLanes>(call, blocks, 16, cuda::moments_body);
  groups_on_host<1>(call, blocks, 32, cuda::moments_sums_body);
}

}  // namespace wisemerge::test

// The kernels of matrix products and heads run on the host, thread after thread: what is between two barriers
// in any order of threads.
#pragma once

#include <deque>
#include <vector>

#include "cuda/kernels/head_metrics.h"
#include "cuda/kernels/head_moments.h"
#include "cuda/kernels/head_path.h"
#include "cuda/kernels/tensor_matmul.h"
#include "host_warp.h"

namespace wisemerge::test {

// As the kernels go through their tiles; `begin` is what a thread does before its first step.
template <class Begin>
void matmul_on_host(const cuda::Matmul& call, bool descending, const Begin& begin) {
  using cuda::MatmulThread;
  for (uint64_t tile = 0; tile < cuda::matmul_tiles(call); tile++) {
    cuda::MatmulShared shared[2];
    std::vector<MatmulThread> threads;
    for (uint32_t t = 0; t < cuda::kMatmulThreads; t++) {
      threads.emplace_back(call, static_cast<uint32_t>(tile), descending ? cuda::kMatmulThreads - 1 - t : t);
    }
    for (MatmulThread& thread : threads) begin(thread);
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

inline void matmul_on_host(const cuda::Matmul& call, bool descending = false) {
  matmul_on_host(call, descending, [](cuda::MatmulThread&) {});
}

// As tensor_matmul goes through a tile: threads bring operands, warps multiply them.
template <bool SplitA, bool SplitW>
void tensor_tile_on_host(const cuda::Matmul& call, uint32_t tile, bool descending) {
  cuda::TensorShared shared[2];
  std::deque<cuda::TensorStage> threads;
  std::deque<cuda::TensorProduct<SplitA, SplitW, HostWarp>> warps;
  for (uint32_t t = 0; t < cuda::kMatmulThreads; t++) {
    threads.emplace_back(call, tile, descending ? cuda::kMatmulThreads - 1 - t : t);
  }
  for (uint32_t w = 0; w < cuda::kMatmulThreads / cuda::kWarpLanes; w++) {
    warps.emplace_back(threads[0], w, HostWarp{});
  }
  const auto fetch = [&](uint32_t step) {
    for (auto& thread : threads) thread.fetch(step);
  };
  const auto store = [&](uint32_t to) {
    for (auto& thread : threads) thread.template store<SplitA, SplitW>(shared[to]);
  };
  const auto multiply = [&](uint32_t from) {
    for (auto& warp : warps) warp.multiply(shared[from]);
  };
  if (call.k > 0) {
    fetch(0);
    store(0);
    uint32_t turn = 0;
    for (uint32_t step = cuda::kTensorDepth; step < call.k; step += cuda::kTensorDepth, turn ^= 1) {
      fetch(step);
      if (descending) store(turn ^ 1);
      multiply(turn);
      if (!descending) store(turn ^ 1);
    }
    multiply(turn);
  }
  for (auto& warp : warps) warp.write();
}

inline void tensor_on_host(const cuda::Matmul& call, bool descending = false) {
  void (*tiles[2][2])(const cuda::Matmul&, uint32_t, bool) = {
      {tensor_tile_on_host<false, false>, tensor_tile_on_host<false, true>},
      {tensor_tile_on_host<true, false>, tensor_tile_on_host<true, true>}};
  for (uint32_t tile = 0; tile < cuda::matmul_tiles(call); tile++) {
    tiles[cuda::tensor_splits_a(call)][cuda::tensor_splits_w(call)](call, tile, descending);
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

// What the threads of a block do together (cuda/kernels/block.cuh), on the host: one after the other, from
// the last to the first if `descending`. A phase that needs another thread's part of the same phase shows in
// one of the two orders.
#pragma once

#include <vector>

#include "cuda/kernels/grid.h"

namespace wisemerge::test {

struct HostBlock {
  uint32_t block, blocks, threads;
  bool descending;

  cuda::GridPosition at(uint32_t thread) const { return {block, blocks, thread, threads}; }

  template <class Phase>
  void operator()(Phase phase) const {
    for (uint32_t t = 0; t < threads; t++) phase(descending ? threads - 1 - t : t);
  }

  template <class State>
  struct Own {
    std::vector<State> states;
    Own(const HostBlock& block, const State& initial) : states(block.threads, initial) {}
    State& operator[](uint32_t thread) { return states[thread]; }
  };
};

}  // namespace wisemerge::test

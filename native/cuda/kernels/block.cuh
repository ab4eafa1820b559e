// The threads of a block that take a kernel's phases together (merge_count.h says how).
// native/test/host_block.h does the same for all of them on the host.
#pragma once

#include "cuda/here.cuh"

namespace wisemerge::cuda {

struct DeviceBlock {
  __device__ __forceinline__ GridPosition at(uint32_t) const { return here(); }

  template <class Phase>
  __device__ __forceinline__ void operator()(Phase phase) const {
    phase(threadIdx.x);
    __syncthreads();
  }

  // What each thread keeps from phase to phase.
  template <class State>
  struct Own {
    State state;
    __device__ __forceinline__ Own(const DeviceBlock&, const State& initial) : state(initial) {}
    __device__ __forceinline__ State& operator[](uint32_t) { return state; }
  };
};

// Blocks for so many units of work; bodies stride over what is left.
inline uint32_t blocks_of(uint64_t units, uint64_t per_block) {
  constexpr uint64_t kMaxBlocks = 1u << 20;
  const uint64_t blocks = (units + per_block - 1) / per_block;
  return static_cast<uint32_t>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

}  // namespace wisemerge::cuda

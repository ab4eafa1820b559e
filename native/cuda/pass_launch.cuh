// How kernels are launched that go through an array once.
#pragma once

#include "cuda/here.cuh"
#include "cuda/kernels/ends.h"

namespace wisemerge::cuda {

// `units` shared out among blocks, `per_block` to each; the bodies stride over what is left.
template <class Call>
cudaError_t launch_pass(void (*kernel)(Call), const Call& call, uint64_t units, uint32_t per_block,
                        cudaStream_t stream) {
  if (units == 0) return cudaSuccess;
  constexpr uint64_t kMaxBlocks = 1u << 20;
  const uint64_t blocks = (units + per_block - 1) / per_block;
  kernel<<<static_cast<uint32_t>(blocks < kMaxBlocks ? blocks : kMaxBlocks), kPassThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

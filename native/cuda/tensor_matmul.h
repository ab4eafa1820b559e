// The matrix product by tensor cores (kernels/tensor_matmul.h) as the host sees it.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/tensor_matmul.h"

namespace wisemerge::cuda {

// What launch(const Matmul&, stream) of head_launch.h computes, within tensor_matmul_bound() of the exact
// product instead of with the bits of the CPU; the same bits at every run on one kind of device. All pointers
// are device memory. Asynchronous.
cudaError_t launch_tensor(const Matmul& call, cudaStream_t stream);

}  // namespace wisemerge::cuda

// The kernels of matrix products and heads as the host sees them. All calls are asynchronous; the structures
// go to the device by value.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/head_metrics.h"
#include "cuda/kernels/head_moments.h"
#include "cuda/kernels/head_path.h"
#include "cuda/kernels/matmul.h"

namespace wisemerge::cuda {

cudaError_t launch(const Matmul& call, cudaStream_t stream);
cudaError_t launch(const HeadPath& call, cudaStream_t stream);
// Both kernels of each: the samples, then the sums of their blocks.
cudaError_t launch(const HeadMetrics& call, cudaStream_t stream);
cudaError_t launch(const HeadMoments& call, cudaStream_t stream);

}  // namespace wisemerge::cuda

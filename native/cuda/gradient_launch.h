// The kernels of training as the host sees them. All calls are asynchronous; the structures go to the device
// by value.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/attention_gradient.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/matmul_batch.h"
#include "cuda/kernels/optimizer.h"
#include "cuda/kernels/rearrange_gradients.h"
#include "cuda/kernels/row_gradients.h"

namespace wisemerge::cuda {

cudaError_t launch(const MatmulBatch& call, cudaStream_t stream);
cudaError_t launch(const MomentRows& call, cudaStream_t stream);
cudaError_t launch(const NormGradient& call, cudaStream_t stream);
cudaError_t launch(const ColumnSums& call, cudaStream_t stream);
cudaError_t launch(const ScoreRows& call, cudaStream_t stream);
cudaError_t launch(const TokensBehind& call, cudaStream_t stream);
cudaError_t launch(const SequenceSums& call, cudaStream_t stream);
cudaError_t launch(const TokenSpread& call, cudaStream_t stream);
cudaError_t launch(const SquareSums& call, cudaStream_t stream);
cudaError_t launch(const AdamWPass& call, cudaStream_t stream);

}  // namespace wisemerge::cuda

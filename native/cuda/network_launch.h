// The kernels of networks as the host sees them. All calls are asynchronous; the structures go to the device
// by value.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/element_passes.h"
#include "cuda/kernels/rearrange.h"
#include "cuda/kernels/rotary.h"
#include "cuda/kernels/row_norms.h"
#include "cuda/kernels/token_losses.h"

namespace wisemerge::cuda {

cudaError_t launch(const TableRows& call, cudaStream_t stream);
cudaError_t launch(const ElementPass& call, cudaStream_t stream);
cudaError_t launch(const RowNorm& call, cudaStream_t stream);
cudaError_t launch(const PatchCut& call, cudaStream_t stream);
cudaError_t launch(const FrontTokens& call, cudaStream_t stream);
cudaError_t launch(const TokenPool& call, cudaStream_t stream);
cudaError_t launch(const Rotary& call, cudaStream_t stream);
cudaError_t launch(const TokenLosses& call, cudaStream_t stream);
cudaError_t launch(const Attention& call, cudaStream_t stream);

}  // namespace wisemerge::cuda

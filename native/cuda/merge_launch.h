// The kernels of merging many models as the host sees them. All calls are asynchronous; the structures go to
// the device by value.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/merge_combine.h"
#include "cuda/kernels/merge_count.h"
#include "cuda/kernels/merge_gram.h"
#include "cuda/kernels/merge_rows.h"

namespace wisemerge::cuda {

// Where combine_memory(call) is above kCombineShared, `memory` has that for each of `blocks`; else it is
// null.
cudaError_t launch(const MergeCombine& call, std::byte* memory, uint32_t blocks, cudaStream_t stream);
cudaError_t launch(const MergeCount& call, cudaStream_t stream);
cudaError_t launch(const MergeOverlap& call, cudaStream_t stream);
cudaError_t launch(const MergeSums& call, cudaStream_t stream);
cudaError_t launch(const MergeGram& call, cudaStream_t stream);
cudaError_t launch(const MergeColumns& call, cudaStream_t stream);
// Clears the mask; `blocks` rows at a time, each with memory of its own at call.ranks where it needs any.
cudaError_t launch(const MergeRanks& call, uint32_t blocks, cudaStream_t stream);
cudaError_t launch(const MergeDivergence& call, cudaStream_t stream);

}  // namespace wisemerge::cuda

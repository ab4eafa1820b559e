// The launches of training for the CUDA runtime without a device (fake_cuda_runtime.cc).
#include "cuda/gradient_launch.h"
#include "cuda_host_gradients.h"
#include "fake_cuda_stream.h"

namespace wisemerge::cuda {

template <class Call>
cudaError_t replay(const Call& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::network_on_host(call); });
}

cudaError_t launch(const MatmulBatch& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const MomentRows& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const NormGradient& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const ColumnSums& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const ScoreRows& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const TokensBehind& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const SequenceSums& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const TokenSpread& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const SquareSums& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const AdamWPass& call, cudaStream_t stream) { return replay(call, stream); }

}  // namespace wisemerge::cuda

// The launches of networks for the CUDA runtime without a device (fake_cuda_runtime.cc).
#include "cuda/network_launch.h"
#include "cuda_host_network.h"
#include "fake_cuda_stream.h"

namespace wisemerge::cuda {

template <class Call>
cudaError_t replay(const Call& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::network_on_host(call); });
}

cudaError_t launch(const TableRows& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const ElementPass& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const RowNorm& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const PatchCut& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const FrontTokens& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const TokenPool& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const Rotary& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const TokenLosses& call, cudaStream_t stream) { return replay(call, stream); }
cudaError_t launch(const Attention& call, cudaStream_t stream) { return replay(call, stream); }

}  // namespace wisemerge::cuda

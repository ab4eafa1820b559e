// The launches of matrix products and heads for the CUDA runtime without a device (fake_cuda_runtime.cc).
#include "cuda/head_launch.h"
#include "cuda/tensor_matmul.h"
#include "cuda_host_kernels.h"
#include "fake_cuda_stream.h"

namespace wisemerge::cuda {

cudaError_t launch(const Matmul& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::matmul_on_host(call); });
}
cudaError_t launch_tensor(const Matmul& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::tensor_on_host(call); });
}
cudaError_t launch(const HeadPath& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::path_on_host(call); });
}
cudaError_t launch(const HeadMetrics& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::metrics_on_host(call); });
}
cudaError_t launch(const HeadMoments& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::moments_on_host(call); });
}

}  // namespace wisemerge::cuda

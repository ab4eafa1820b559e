#include "cuda/gradient_launch.h"
#include "cuda/pass_launch.cuh"

namespace wisemerge::cuda {
namespace {

__global__ void __launch_bounds__(kPassThreads) moment_rows(const MomentRows call) {
  moment_rows_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) norm_gradient(const NormGradient call) {
  norm_gradient_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) score_rows(const ScoreRows call) {
  score_rows_body(here(), call);
}

template <class Pass>
__global__ void __launch_bounds__(kPassThreads) rearrange_gradient(const Pass call) {
  rearrange_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) square_sums(const SquareSums call) {
  square_sums_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) adamw_pass(const AdamWPass call) {
  adamw_pass_body(here(), call);
}

struct ColumnTeam {
  ColumnThread thread;

  template <class Body>
  __device__ __forceinline__ void operator()(Body body) {
    body(thread);
    __syncthreads();
  }
};

__global__ void __launch_bounds__(kColumnThreads) column_sums(const ColumnSums call) {
  __shared__ ColumnShared shared;
  ColumnTeam team = {{threadIdx.x, 0}};
  sum_columns(call, blockIdx.x, shared, team);
}

constexpr uint32_t kRowsPerBlock = kPassThreads / kRowLanes;

}  // namespace

cudaError_t launch(const MomentRows& call, cudaStream_t stream) {
  return launch_pass(moment_rows, call, call.rows, kRowsPerBlock, stream);
}

cudaError_t launch(const NormGradient& call, cudaStream_t stream) {
  return launch_pass(norm_gradient, call, call.rows, kRowsPerBlock, stream);
}

cudaError_t launch(const ColumnSums& call, cudaStream_t stream) {
  const auto blocks = static_cast<uint32_t>(column_blocks(call));
  if (blocks == 0) return cudaSuccess;
  column_sums<<<blocks, kColumnThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const ScoreRows& call, cudaStream_t stream) {
  return launch_pass(score_rows, call, call.rows(), kRowsPerBlock, stream);
}

cudaError_t launch(const TokensBehind& call, cudaStream_t stream) {
  return launch_pass(rearrange_gradient<TokensBehind>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const SequenceSums& call, cudaStream_t stream) {
  return launch_pass(rearrange_gradient<SequenceSums>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const TokenSpread& call, cudaStream_t stream) {
  return launch_pass(rearrange_gradient<TokenSpread>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const SquareSums& call, cudaStream_t stream) {
  return launch_pass(square_sums, call, call.blocks(), kRowsPerBlock, stream);
}

cudaError_t launch(const AdamWPass& call, cudaStream_t stream) {
  return launch_pass(adamw_pass, call, call.count, kPassThreads * kMatmulQuad, stream);
}

}  // namespace wisemerge::cuda

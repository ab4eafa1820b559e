#include "cuda/head_launch.h"
#include "cuda/here.cuh"

namespace wisemerge::cuda {
namespace {

__global__ void __launch_bounds__(kHeadThreads) head_path(const HeadPath call) { path_body(here(), call); }

__global__ void __launch_bounds__(kHeadThreads) head_metrics(const HeadMetrics call) {
  metrics_body(here(), call);
}

__global__ void head_metrics_sums(const HeadMetrics call) { metrics_sums_body(here(), call); }

__global__ void __launch_bounds__(kHeadThreads) head_moments(const HeadMoments call) {
  moments_body(here(), call);
}

__global__ void head_moments_sums(const HeadMoments call) { moments_sums_body(here(), call); }

// The bodies stride over what is left.
uint32_t grid(uint64_t units, uint32_t per_block) {
  constexpr uint64_t kMaxBlocks = 1u << 20;
  const uint64_t blocks = (units + per_block - 1) / per_block;
  return static_cast<uint32_t>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

// Few threads with long loops: small blocks spread them over the multiprocessors.
constexpr uint32_t kSumThreads = 32;

}  // namespace

cudaError_t launch(const HeadPath& call, cudaStream_t stream) {
  if (call.logits.rows == 0) return cudaSuccess;
  head_path<<<grid(call.logits.rows, kHeadThreads / kPathLanes), kHeadThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const HeadMetrics& call, cudaStream_t stream) {
  if (call.logits.rows == 0) return cudaSuccess;
  const uint64_t runs = uint64_t{call.logits.rows} * call.run_count;
  head_metrics<<<grid(runs, kHeadThreads / kClassLanes), kHeadThreads, 0, stream>>>(call);
  const uint64_t blocks = uint64_t{chunk_blocks(call.first_sample, call.logits.rows)} * call.asked;
  head_metrics_sums<<<grid(blocks, kSumThreads), kSumThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const HeadMoments& call, cudaStream_t stream) {
  if (call.logits.rows == 0) return cudaSuccess;
  head_moments<<<grid(call.logits.rows, kHeadThreads / kClassLanes), kHeadThreads, 0, stream>>>(call);
  const uint32_t blocks = chunk_blocks(call.first_sample, call.logits.rows);
  head_moments_sums<<<grid(uint64_t{blocks} * kMoments, kSumThreads), kSumThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

#include "cuda/here.cuh"
#include "cuda/network_launch.h"

namespace wisemerge::cuda {
namespace {

__global__ void __launch_bounds__(kPassThreads) table_rows(const TableRows call) {
  table_rows_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) element_pass(const ElementPass call) {
  element_pass_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) row_norm_pass(const RowNorm call) {
  row_norm_body(here(), call);
}

template <class Pass>
__global__ void __launch_bounds__(kPassThreads) rearrange(const Pass call) {
  rearrange_body(here(), call);
}

__global__ void __launch_bounds__(kPassThreads) rotary(const Rotary call) { rotary_body(here(), call); }

__global__ void __launch_bounds__(kPassThreads) token_losses(const TokenLosses call) {
  token_losses_body(here(), call);
}

// `units` shared out among blocks, `per_block` to each; the bodies stride over what is left.
template <class Call>
cudaError_t run(void (*kernel)(Call), const Call& call, uint64_t units, uint32_t per_block,
                cudaStream_t stream) {
  if (units == 0) return cudaSuccess;
  constexpr uint64_t kMaxBlocks = 1u << 20;
  const uint64_t blocks = (units + per_block - 1) / per_block;
  kernel<<<static_cast<uint32_t>(blocks < kMaxBlocks ? blocks : kMaxBlocks), kPassThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch(const TableRows& call, cudaStream_t stream) {
  return run(table_rows, call, table_rows_units(call), kPassThreads, stream);
}

cudaError_t launch(const ElementPass& call, cudaStream_t stream) {
  return run(element_pass, call, call.count, kPassThreads * kMatmulQuad, stream);
}

cudaError_t launch(const RowNorm& call, cudaStream_t stream) {
  return run(row_norm_pass, call, call.rows, kPassThreads / kRowLanes, stream);
}

cudaError_t launch(const PatchCut& call, cudaStream_t stream) {
  return run(rearrange<PatchCut>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const FrontTokens& call, cudaStream_t stream) {
  return run(rearrange<FrontTokens>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const TokenPool& call, cudaStream_t stream) {
  return run(rearrange<TokenPool>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const Rotary& call, cudaStream_t stream) {
  return run(rotary, call, call.tokens * call.places(), kPassThreads, stream);
}

cudaError_t launch(const TokenLosses& call, cudaStream_t stream) {
  return run(token_losses, call, call.rows, kPassThreads / kRowLanes, stream);
}

}  // namespace wisemerge::cuda

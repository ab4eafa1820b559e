#include "cuda/network_launch.h"
#include "cuda/pass_launch.cuh"

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

}  // namespace

cudaError_t launch(const TableRows& call, cudaStream_t stream) {
  return launch_pass(table_rows, call, table_rows_units(call), kPassThreads, stream);
}

cudaError_t launch(const ElementPass& call, cudaStream_t stream) {
  return launch_pass(element_pass, call, call.count, kPassThreads * kMatmulQuad, stream);
}

cudaError_t launch(const RowNorm& call, cudaStream_t stream) {
  return launch_pass(row_norm_pass, call, call.rows, kPassThreads / kRowLanes, stream);
}

cudaError_t launch(const PatchCut& call, cudaStream_t stream) {
  return launch_pass(rearrange<PatchCut>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const FrontTokens& call, cudaStream_t stream) {
  return launch_pass(rearrange<FrontTokens>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const TokenPool& call, cudaStream_t stream) {
  return launch_pass(rearrange<TokenPool>, call, call.count(), kPassThreads, stream);
}

cudaError_t launch(const Rotary& call, cudaStream_t stream) {
  return launch_pass(rotary, call, call.tokens * call.places(), kPassThreads, stream);
}

cudaError_t launch(const TokenLosses& call, cudaStream_t stream) {
  return launch_pass(token_losses, call, call.rows, kPassThreads / kRowLanes, stream);
}

}  // namespace wisemerge::cuda

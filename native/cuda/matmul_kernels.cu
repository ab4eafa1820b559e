#include "cuda/head_launch.h"
#include "cuda/multiply_tile.cuh"

namespace wisemerge::cuda {
namespace {

__device__ __forceinline__ void multiply_tile(const Matmul& call) {
  __shared__ MatmulShared shared[2];
  MatmulThread tile(call, blockIdx.x, threadIdx.x);
  multiply_tile(tile, shared);
}

__global__ void __launch_bounds__(kMatmulThreads) matmul_mixed(const Matmul call) { multiply_tile(call); }

// The same with dtypes of the operand and of the weights as constants, and depth contiguous: nothing is left
// to decide between two steps. With all of 16 bits, what is on its way fits the registers of two blocks per
// multiprocessor.
template <DType A, DType W>
__global__ void __launch_bounds__(kMatmulThreads, A == DType::kF32 ? 1 : 2) matmul_fused(const Matmul given) {
  Matmul call = given;
  call.a.dtype = A, call.a.column_stride = 1;
  for (MatmulOperand* x : {&call.w0, &call.w1}) x->dtype = W, x->column_stride = 1;
  multiply_tile(call);
}

using MatmulKernel = void (*)(Matmul);

// Those that heads (equal dtypes) and networks (operands of F32) take in practice.
MatmulKernel kernel_for(const Matmul& call) {
  const bool alike = !call.w1.data || (call.w1.dtype == call.w0.dtype && call.w1.column_stride == 1);
  if (!alike || call.a.column_stride != 1 || call.w0.column_stride != 1) return matmul_mixed;
  const auto is = [&](DType a, DType w) { return call.a.dtype == a && call.w0.dtype == w; };
  if (is(DType::kF32, DType::kF32)) return matmul_fused<DType::kF32, DType::kF32>;
  if (is(DType::kF32, DType::kBF16)) return matmul_fused<DType::kF32, DType::kBF16>;
  if (is(DType::kF32, DType::kF16)) return matmul_fused<DType::kF32, DType::kF16>;
  if (is(DType::kBF16, DType::kBF16)) return matmul_fused<DType::kBF16, DType::kBF16>;
  if (is(DType::kF16, DType::kF16)) return matmul_fused<DType::kF16, DType::kF16>;
  return matmul_mixed;
}

}  // namespace

cudaError_t launch(const Matmul& call, cudaStream_t stream) {
  const uint64_t tiles = matmul_tiles(call);
  if (tiles == 0) return cudaSuccess;
  kernel_for(call)<<<static_cast<uint32_t>(tiles), kMatmulThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

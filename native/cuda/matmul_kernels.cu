#include "cuda/head_launch.h"

namespace wisemerge::cuda {
namespace {

// Two buffers of shared memory: while one is multiplied, the next steps' elements come from device memory
// into registers and go to the other. One barrier per exchange.
__device__ __forceinline__ void multiply_tile(const Matmul& call) {
  __shared__ MatmulShared shared[2];
  MatmulThread tile(call, blockIdx.x, threadIdx.x);
  if (call.k > 0) {
    tile.fetch(0);
    tile.store(shared[0]);
    __syncthreads();
    uint32_t turn = 0;
    for (uint32_t step = kMatmulDepth; step < call.k; step += kMatmulDepth, turn ^= 1) {
      tile.fetch(step);
      tile.multiply(shared[turn]);
      tile.store(shared[turn ^ 1]);
      __syncthreads();
    }
    tile.multiply(shared[turn]);
  }
  tile.write();
}

__global__ void __launch_bounds__(kMatmulThreads) matmul_mixed(const Matmul call) { multiply_tile(call); }

// The same with one dtype, and depth contiguous: as constants they leave nothing to decide between two steps.
// In 16 bits, what is on its way fits the registers of two blocks per multiprocessor.
template <DType D>
__global__ void __launch_bounds__(kMatmulThreads, D == DType::kF32 ? 1 : 2) matmul_fused(const Matmul given) {
  Matmul call = given;
  for (MatmulOperand* x : {&call.a, &call.w0, &call.w1}) x->dtype = D, x->column_stride = 1;
  multiply_tile(call);
}

bool is_plain(const Matmul& call, const MatmulOperand& x) {
  return !x.data || (x.dtype == call.a.dtype && x.column_stride == 1);
}

}  // namespace

cudaError_t launch(const Matmul& call, cudaStream_t stream) {
  const uint64_t tiles = matmul_tiles(call);
  if (tiles == 0) return cudaSuccess;
  void (*kernel)(Matmul) = matmul_mixed;
  if (is_plain(call, call.a) && is_plain(call, call.w0) && is_plain(call, call.w1)) {
    kernel = call.a.dtype == DType::kF32    ? matmul_fused<DType::kF32>
             : call.a.dtype == DType::kBF16 ? matmul_fused<DType::kBF16>
                                            : matmul_fused<DType::kF16>;
  }
  kernel<<<static_cast<uint32_t>(tiles), kMatmulThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace wisemerge::cuda

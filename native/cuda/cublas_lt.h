// Products by cuBLASLt, which is looked for at run time: neither the build nor any other precision needs it.
#pragma once

#include <cuda_runtime_api.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>

#include "cuda/resources.h"

namespace wisemerge::cuda {

// A function of the library by its name; null: there is no library, or none of that name in it.
// cublas_lt_library.cc opens it; tests have one of their own.
void* cublas_lt_function(const char* name);
// What cublas_lt_function looked for.
const char* cublas_lt_names();

// out [rows, outputs] = x [rows, inputs] w [outputs, inputs]^T + bias, all F32 in device memory. Rows of `x`
// and `w` lie one behind another, those of `out` are `out_stride` apart. Bias null: none.
struct LibraryProduct {
  uint64_t rows, inputs, outputs, out_stride;
  const float *x, *w, *bias;
  float* out;
};

class CublasLt {
 public:
  // On the current device. Throws Failure: WM_UNAVAILABLE where there is no library.
  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // Operands are rounded to TF32, sums run in f32 in an order of the library's. Asynchronous; throws Failure.
  // False, and nothing done, where the library has no algorithm for the shape.
  bool product(const LibraryProduct& call, cudaStream_t stream);

 private:
  struct Functions;
  // What a product needs besides its pointers, algorithm included.
  struct Plan;
  struct Shape {
    uint64_t rows, inputs, outputs, out_stride;
    bool bias;
    uint32_t alignment;  // of all pointers, in bytes
    auto operator<=>(const Shape&) const = default;
  };
  // Null: no algorithm.
  Plan* plan(const Shape& shape, const float* bias);

  const std::unique_ptr<Functions> functions_;
  void* handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<Shape, std::unique_ptr<Plan>> plans_;  // null: no algorithm
};

}  // namespace wisemerge::cuda

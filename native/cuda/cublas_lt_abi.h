// The part of cuBLASLt's C interface that is used, as the cuBLAS documentation has it (chapter "Using the
// cuBLASLt API"): the library is opened at run time, and its headers need not be there at build time.
// Unchanged from CUDA 11.4 on.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace wisemerge::cuda {

using CublasStatus = int32_t;  // 0: success
inline constexpr CublasStatus kCublasNotSupported = 15;
inline constexpr int32_t kCublasR32F = 0;
inline constexpr int32_t kCublasFastTf32 = 77;  // CUBLAS_COMPUTE_32F_FAST_TF32
inline constexpr int32_t kCublasTranspose = 1;

enum CublasMatmulAttribute : int32_t {
  kCublasTransA = 3,
  kCublasEpilogue = 7,
  kCublasBiasPointer = 8,
};
inline constexpr uint32_t kCublasEpilogueBias = 4;

enum CublasPreferenceAttribute : int32_t {
  kCublasMaxWorkspace = 1,
  // Of the pointers that products will have; 256 bytes unless said otherwise.
  kCublasAlignmentA = 5,
  kCublasAlignmentB = 6,
  kCublasAlignmentC = 7,
  kCublasAlignmentD = 8,
};

struct CublasAlgorithm {
  uint64_t data[8];
};
struct CublasHeuristic {
  CublasAlgorithm algorithm;
  size_t workspace;
  CublasStatus state;
  float waves;
  int32_t reserved[4];
};
static_assert(sizeof(CublasHeuristic) == 96);

// Handles, descriptions, layouts and preferences are pointers of the library's.
using CublasCreate = CublasStatus (*)(void** made);
using CublasDestroy = CublasStatus (*)(void* made);
using CublasDescribe = CublasStatus (*)(void** description, int32_t compute_type, int32_t scale_type);
using CublasLayout = CublasStatus (*)(void** layout, int32_t type, uint64_t rows, uint64_t columns,
                                      int64_t leading);
using CublasSet = CublasStatus (*)(void* of, int32_t attribute, const void* value, size_t bytes);
using CublasChoose = CublasStatus (*)(void* handle, void* description, void* a, void* b, void* c, void* d,
                                      void* preference, int wanted, CublasHeuristic* results, int* found);
using CublasMatmul = CublasStatus (*)(void* handle, void* description, const void* alpha, const void* a,
                                      void* a_layout, const void* b, void* b_layout, const void* beta,
                                      const void* c, void* c_layout, void* d, void* d_layout,
                                      const CublasAlgorithm* algorithm, void* workspace, size_t bytes,
                                      cudaStream_t stream);

}  // namespace wisemerge::cuda

// Marks the functions that both the host compiler and nvcc compile: the element functions that are the
// specification of every kernel. They use no library call that differs between the two.
#pragma once

#if defined(__CUDACC__)
#define WM_HD __host__ __device__ __forceinline__
#else
#define WM_HD inline
#endif

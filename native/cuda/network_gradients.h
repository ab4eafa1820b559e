// The backward pass of one operation of a network on device memory: which kernels it takes. Bits are those of
// the CPU: every sum is a chain in the same order.
#pragma once

#include "cuda/gradient_launch.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

// Addresses of an operation's operands (null: none, or not wanted): values, gradients by them and by the
// result, parameters and the gradients by these.
struct GradientCall {
  const WmOperation& operation;
  const void* value[4];
  float* value_gradient[4];
  bool add[4];  // to what is there
  const float* out_gradient;
  float* spare;
  const float* parameter[2];
  float* parameter_gradient[2];
  double real;
};

// Throws Failure WM_INVALID_ARGUMENT for a kind without a backward pass, and for sizes that no kernel takes.
void check_gradient(const WmOperation& operation);

// Bytes of scratch memory that it takes; 0 for kinds without a backward pass.
uint64_t gradient_scratch(const WmOperation& operation);

// Asynchronous. The operation and its operands have been checked.
void run_gradient(const GradientCall& call, std::byte* scratch, cudaStream_t stream);

}  // namespace wisemerge::cuda

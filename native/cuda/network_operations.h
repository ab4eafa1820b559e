// One operation of a network on device memory: which kernels it takes.
#pragma once

#include "cuda/network_products.h"

namespace wisemerge::cuda {

// An operation with the addresses of its operands (null: none) and its parameters at a candidate's alphas
// (Ends::x null: none).
struct OperationCall {
  const WmOperation& operation;
  const void* value[4];
  void* out;
  Ends parameter[2];
  double real;
};

// Throws Failure WM_INVALID_ARGUMENT for an unknown kind, and for sizes that no kernel takes.
void check_operation(const WmOperation& operation);

// Bytes of scratch memory that it takes.
uint64_t operation_scratch(const ProductRule& rule, const WmOperation& operation);

// Asynchronous. The operation and its operands have been checked by the core.
void run_operation(const ProductRule& rule, const OperationCall& call, std::byte* scratch,
                   cudaStream_t stream);

}  // namespace wisemerge::cuda

// Errors inside the CUDA backend: one exception type, turned into WmError at the C boundary.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "wisemerge/backend.h"

namespace wisemerge::cuda {

struct Failure {
  WmCode code;
  int32_t native_code;  // cudaError_t
  std::string message;
};

// CUDA's own text and name of `status`, with the remedy where there is one.
std::string status_text(cudaError_t status);
WmCode code_of(cudaError_t status);
// Whether the driver refuses whatever the process asks of the device from now on: nothing but its end helps.
bool loses_device(cudaError_t status);

// Throws Failure with `what` ("copying to the device") and CUDA's own name and text for `status`. Clears the
// error, so that the next call does not report it again.
[[noreturn]] void fail(cudaError_t status, const std::string& what);

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail(status, what);
}

// Copies into `error`, which may be null; truncates at its size.
void fill_error(WmError* error, int32_t native_code, const std::string& message);

}  // namespace wisemerge::cuda

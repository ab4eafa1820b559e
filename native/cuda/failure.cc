#include "cuda/failure.h"

#include <cstring>

namespace wisemerge::cuda {

bool loses_device(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
      return true;
    default:
      return false;
  }
}

WmCode code_of(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return WM_OUT_OF_MEMORY;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
      return WM_UNAVAILABLE;
    default:
      return WM_DEVICE_ERROR;
  }
}

std::string status_text(cudaError_t status) {
  return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ", " +
         std::to_string(static_cast<int>(status)) + ")" +
         (loses_device(status) ? "; the device is lost to this process: start a new process" : "");
}

void fail(cudaError_t status, const std::string& what) {
  cudaGetLastError();
  throw Failure{code_of(status), static_cast<int32_t>(status), what + ": " + status_text(status)};
}

void fill_error(WmError* error, int32_t native_code, const std::string& message) {
  if (!error) return;
  error->native_code = native_code;
  const size_t length =
      message.size() < sizeof(error->message) - 1 ? message.size() : sizeof(error->message) - 1;
  std::memcpy(error->message, message.data(), length);
  error->message[length] = '\0';
}

}  // namespace wisemerge::cuda

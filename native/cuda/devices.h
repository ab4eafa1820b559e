// The CUDA devices this build has kernels for, and the reason when there is none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wisemerge/backend.h"

namespace wisemerge::cuda {

struct Devices {
  std::vector<int> ordinals;     // CUDA ordinals of the usable devices; the backend's device i is ordinals[i]
  WmCode code = WM_UNAVAILABLE;  // why `ordinals` is empty, and
  int32_t native_code = 0;       // cudaError_t of the failed probe
  std::string reason;
};

// Probes anew at every call; never fails and never creates a device context.
Devices usable_devices();

// The CUDA ordinal of device `device`; throws Failure (WM_UNAVAILABLE, WM_INVALID_ARGUMENT).
int device_ordinal(int32_t device);

// Creates the device's context if need be, since free memory cannot be asked for without it.
void describe_device(int32_t device, WmDeviceInfo* info);

}  // namespace wisemerge::cuda

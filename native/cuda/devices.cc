#include "cuda/devices.h"

#include <cuda_runtime_api.h>

#include <cstdio>

#include "cuda/failure.h"

namespace wisemerge::cuda {
namespace {

constexpr int kMinMajor = 8;  // sm_80: the oldest architecture with kernels here

// CUDA's version encoding: 12020 is 12.2.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string probe_reason(cudaError_t status) {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  switch (status) {
    case cudaErrorInsufficientDriver:
      if (driver == 0) return "no NVIDIA driver is installed (libcuda.so.1 was not found)";
      return "the NVIDIA driver supports CUDA " + version_text(driver) + ", this build needs CUDA " +
             version_text(CUDART_VERSION / 1000 * 1000) + ": update the driver";
    case cudaErrorNoDevice:
      return "the NVIDIA driver (CUDA " + version_text(driver) +
             ") reports no device; check nvidia-smi, CUDA_VISIBLE_DEVICES and access to /dev/nvidia*";
    case cudaErrorSystemNotReady:
      return "the NVIDIA driver is not ready: on a machine with NVSwitches, start nvidia-fabricmanager";
    case cudaErrorSystemDriverMismatch:
      return "the NVIDIA driver's kernel module and its libraries are of different versions: restart the "
             "machine";
    default:
      return "CUDA cannot start: " + status_text(status);
  }
}

// What fails before a device is in use makes it unavailable, unless it has been in use before.
WmCode probe_code(cudaError_t status) {
  const WmCode code = code_of(status);
  return code == WM_DEVICE_ERROR && !loses_device(status) ? WM_UNAVAILABLE : code;
}

int attribute(int ordinal, cudaDeviceAttr name) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, ordinal), "reading a device attribute");
  return value;
}

}  // namespace

Devices usable_devices() {
  Devices devices;
  int count = 0;  // left untouched by a failed call
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    devices.code = probe_code(status);
    devices.native_code = static_cast<int32_t>(status);
    devices.reason = probe_reason(status);
    cudaGetLastError();
    return devices;
  }
  if (count == 0) {
    devices.native_code = static_cast<int32_t>(cudaErrorNoDevice);
    devices.reason = probe_reason(cudaErrorNoDevice);
    return devices;
  }
  for (int ordinal = 0; ordinal < count; ordinal++) {
    int major = 0, minor = 0;
    cudaError_t asked = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal);
    if (asked == cudaSuccess) {
      asked = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal);
    }
    if (asked == cudaSuccess && major >= kMinMajor) {
      devices.ordinals.push_back(ordinal);
      continue;
    }
    devices.reason += (devices.reason.empty() ? "device " : "; device ") + std::to_string(ordinal);
    if (asked != cudaSuccess) {
      devices.code = probe_code(asked);
      devices.native_code = static_cast<int32_t>(asked);
      devices.reason += " cannot be asked what it is: " + status_text(asked);
    } else {
      devices.reason += " has compute capability " + std::to_string(major) + "." + std::to_string(minor) +
                        ", this build needs " + std::to_string(kMinMajor) + ".0";
    }
  }
  cudaGetLastError();
  if (!devices.ordinals.empty()) devices.reason.clear();
  return devices;
}

int device_ordinal(int32_t device) {
  const Devices devices = usable_devices();
  if (devices.ordinals.empty()) throw Failure{devices.code, devices.native_code, devices.reason};
  if (device < 0 || static_cast<size_t>(device) >= devices.ordinals.size()) {
    throw Failure{WM_INVALID_ARGUMENT, 0,
                  "there is no CUDA device " + std::to_string(device) + ": the usable ones are 0 to " +
                      std::to_string(devices.ordinals.size() - 1)};
  }
  return devices.ordinals[static_cast<size_t>(device)];
}

void describe_device(int32_t device, WmDeviceInfo* info) {
  *info = {};
  const int ordinal = device_ordinal(device);
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, ordinal), "reading the device's properties");
  std::snprintf(info->name, sizeof(info->name), "%.*s", static_cast<int>(sizeof(info->name)) - 1,
                properties.name);
  std::snprintf(info->isa, sizeof(info->isa), "sm_%d%d", properties.major, properties.minor);
  info->memory_total = properties.totalGlobalMem;
  info->compute_units = attribute(ordinal, cudaDevAttrMultiProcessorCount);
  int version = 0;
  check(cudaDriverGetVersion(&version), "reading the driver's version");
  info->driver_version = version;
  check(cudaRuntimeGetVersion(&version), "reading the runtime's version");
  info->runtime_version = version;
  check(cudaSetDevice(ordinal), "selecting the device");
  size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "reading the device's free memory");
  info->memory_free = free_bytes;
}

}  // namespace wisemerge::cuda

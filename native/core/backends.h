// The backends of this process: the built-in CPU backend, and the CUDA backend when its library loads.
#pragma once

#include <string>
#include <vector>

#include "wisemerge/backend.h"

namespace wisemerge {

struct BackendStatus {
  std::string name;                    // "cpu", "cuda"
  const WmBackend* backend = nullptr;  // null when the library could not be loaded
  std::string library;                 // path tried; empty for the built-in backend
  std::string reason;                  // why there is no usable device; empty when there is one
};

// Loads each backend once per process (thread-safe) and never unloads it. `directory` is where the addon
// lives; WISEMERGE_CUDA_LIBRARY overrides the path of wisemerge-cuda.so.
const std::vector<BackendStatus>& backends(const std::string& directory);

// The backend by name with at least one usable device; throws Error ERR_DEVICE_UNAVAILABLE with the reason.
const WmBackend* require_backend(const std::string& directory, const std::string& name);

}  // namespace wisemerge

#include "core/backends.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>

#include "core/status.h"
#include "cpu/cpu_backend.h"

namespace wisemerge {
namespace {

// Fills `reason` when the backend has no usable device.
void probe(BackendStatus& status) {
  WmError error{};
  if (status.backend->device_count(&error) > 0) return;
  status.reason = error.message[0] ? error.message : "no device";
}

BackendStatus builtin_cpu() {
  BackendStatus status;
  status.name = "cpu";
  status.backend = wisemerge_cpu_backend();
  probe(status);
  return status;
}

// Every way this can fail is a reason, never an exception: a machine without CUDA is a normal machine.
BackendStatus load_cuda(const std::string& directory) {
  BackendStatus status;
  status.name = "cuda";
  const char* const override_path = std::getenv("WISEMERGE_CUDA_LIBRARY");
  const bool overridden = override_path && *override_path;
  struct stat file;
  const auto exists = [&](const std::string& path) { return stat(path.c_str(), &file) == 0; };
  status.library = overridden ? override_path : directory + "/wisemerge-cuda.so";
  // Of a package with a prebuilt addon, in prebuilds/PLATFORM, the user builds this library alone.
  const std::string built = directory + "/../../build/Release/wisemerge-cuda.so";
  if (!overridden && !exists(status.library) && exists(built)) status.library = built;
  if (!exists(status.library)) {
    status.reason = overridden
                        ? "WISEMERGE_CUDA_LIBRARY names " + status.library + ", which does not exist"
                        : "wisemerge-cuda.so is not built: run npm run build:cuda on a machine with nvcc";
    return status;
  }
  // Never closed: the CUDA runtime keeps threads and process-wide state.
  void* const library = dlopen(status.library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* const text = dlerror();
    status.reason = "cannot load " + status.library + ": " + (text ? text : "unknown error");
    return status;
  }
  const auto entry = reinterpret_cast<WmBackendEntry>(dlsym(library, WM_BACKEND_SYMBOL));
  if (!entry) {
    status.reason = status.library + " is not a wisemerge backend: it does not export " WM_BACKEND_SYMBOL;
    return status;
  }
  const WmBackend* const backend = entry();
  if (backend->abi != WM_BACKEND_ABI) {
    status.reason = status.library + " has backend ABI " + std::to_string(backend->abi) +
                    " and this addon needs " + std::to_string(WM_BACKEND_ABI) + ": rebuild both together";
    return status;
  }
  status.backend = backend;
  probe(status);
  return status;
}

// Each is made once, thread-safe, when it is first asked for: a CPU engine must not wake the CUDA driver.
// Deliberately leaked, so that no destructor runs under a live thread at exit.
const BackendStatus& cpu_status() {
  static const auto* const status = new BackendStatus(builtin_cpu());
  return *status;
}

const BackendStatus& cuda_status(const std::string& directory) {
  static const auto* const status = new BackendStatus(load_cuda(directory));
  return *status;
}

}  // namespace

const std::vector<BackendStatus>& backends(const std::string& directory) {
  static const auto* const all = new std::vector<BackendStatus>{cpu_status(), cuda_status(directory)};
  return *all;
}

const WmBackend* require_backend(const std::string& directory, const std::string& name) {
  if (name != "cpu" && name != "cuda") {
    throw Error("ERR_DEVICE_UNAVAILABLE", "unknown device kind '" + name + "': use cpu or cuda");
  }
  const BackendStatus& status = name == "cpu" ? cpu_status() : cuda_status(directory);
  if (!status.reason.empty()) {
    throw Error("ERR_DEVICE_UNAVAILABLE", "no " + name + " device: " + status.reason);
  }
  return status.backend;
}

}  // namespace wisemerge

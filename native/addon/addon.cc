// The addon's exports. lib/native.ts gives them types and is their only user.

#include <dlfcn.h>
#include <napi.h>

#include <cstdlib>
#include <string>

#include "addon/buffer_object.h"
#include "addon/device_functions.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "addon/file_functions.h"
#include "addon/header_function.h"
#include "addon/inference_object.h"
#include "addon/low_rank_object.h"
#include "addon/merge_object.h"
#include "addon/network_object.h"
#include "addon/runtime.h"
#include "addon/stream_object.h"
#include "addon/torch_function.h"
#include "addon/trainer_object.h"
#include "core/host_buffer.h"
#include "wisemerge/backend.h"

namespace wisemerge {
namespace {

// The folder this library was loaded from, where the CUDA backend lies too.
std::string library_directory() {
  Dl_info library{};
  if (!dladdr(reinterpret_cast<void*>(&library_directory), &library) || !library.dli_fname) return ".";
  char* const resolved = realpath(library.dli_fname, nullptr);
  const std::string path = resolved ? resolved : library.dli_fname;
  std::free(resolved);
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

Napi::Value live_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(HostBuffer::live_bytes()));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  Runtime::create(env, library_directory());
  exports.Set("HostBuffer", BufferObject::define(env));
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("BlockStream", StreamObject::define(env));
  exports.Set("MergeStream", MergeObject::define(env));
  exports.Set("LowRank", LowRankObject::define(env));
  exports.Set("Network", NetworkObject::define(env));
  exports.Set("Trainer", TrainerObject::define(env));
  exports.Set("Inference", InferenceObject::define(env));
  exports.Set("parseHeader", Napi::Function::New<guarded<parse_header>>(env));
  exports.Set("parseTorchFile", Napi::Function::New<guarded<parse_torch_file>>(env));
  exports.Set("devices", Napi::Function::New<guarded<list_devices>>(env));
  exports.Set("device", Napi::Function::New<guarded<describe_device>>(env));
  exports.Set("dtypes", Napi::Function::New<guarded<list_dtypes>>(env));
  exports.Set("preallocate", Napi::Function::New<guarded<preallocate_file>>(env));
  exports.Set("sync", Napi::Function::New<guarded<sync_file_job>>(env));
  exports.Set("cachedBytes", Napi::Function::New<guarded<cached_file_bytes>>(env));
  exports.Set("evict", Napi::Function::New<guarded<evict_file>>(env));
  exports.Set("mergeMethods", Napi::Function::New<MergeObject::methods>(env));
  exports.Set("liveBytes", Napi::Function::New<live_bytes>(env));
  exports.Set("version", WISEMERGE_VERSION);
  exports.Set("napiVersion", NAPI_VERSION);
  exports.Set("backendAbi", WM_BACKEND_ABI);
  return exports;
}

}  // namespace
}  // namespace wisemerge

// At global scope: the macro's functions must have external linkage.
static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  return wisemerge::initialize(env, exports);
}
NODE_API_MODULE(wisemerge, initialize_addon)

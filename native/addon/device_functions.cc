#include "addon/device_functions.h"

#include "addon/arguments.h"
#include "addon/runtime.h"
#include "core/backends.h"
#include "core/engine.h"
#include "wisemerge/dtype.h"

namespace wisemerge {
namespace {

Napi::Object base_report(Napi::Env env, const char* backend, int ordinal) {
  Napi::Object report = Napi::Object::New(env);
  report.Set("backend", backend);
  report.Set("ordinal", ordinal);
  return report;
}

Napi::Object unavailable(Napi::Env env, const char* backend, int ordinal, const std::string& reason) {
  Napi::Object report = base_report(env, backend, ordinal);
  report.Set("available", false);
  report.Set("reason", reason);
  return report;
}

Napi::Object available(Napi::Env env, const WmBackend& backend, int ordinal, const WmDeviceInfo& device) {
  Napi::Object report = base_report(env, backend.name, ordinal);
  report.Set("available", true);
  report.Set("version", backend.version);
  report.Set("name", device.name);
  report.Set("isa", device.isa);
  report.Set("memoryTotal", static_cast<double>(device.memory_total));
  report.Set("memoryFree", static_cast<double>(device.memory_free));
  report.Set("driverVersion", device.driver_version);
  report.Set("runtimeVersion", device.runtime_version);
  report.Set("computeUnits", device.compute_units);
  return report;
}

const char* kind_name(DTypeKind kind) {
  switch (kind) {
    case DTypeKind::kBoolean:
      return "boolean";
    case DTypeKind::kInteger:
      return "integer";
    case DTypeKind::kFloat:
      return "float";
    case DTypeKind::kComplex:
      return "complex";
    case DTypeKind::kPacked:
      return "packed";
  }
  return "packed";
}

}  // namespace

Napi::Value list_devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array reports = Napi::Array::New(env);
  const auto add = [&](Napi::Object report, const BackendStatus& status) {
    if (!status.library.empty()) report.Set("library", status.library);
    reports.Set(reports.Length(), report);
  };
  for (const BackendStatus& status : backends(Runtime::of(env).directory())) {
    if (!status.reason.empty()) {
      add(unavailable(env, status.name.c_str(), 0, status.reason), status);
      continue;
    }
    WmError error{};
    const int count = status.backend->device_count(&error);
    for (int i = 0; i < count; i++) {
      WmDeviceInfo device{};
      const bool known = status.backend->device_info(i, &device, &error) == WM_OK;
      add(known ? available(env, *status.backend, i, device)
                : unavailable(env, status.name.c_str(), i, error.message),
          status);
    }
  }
  return reports;
}

Napi::Value describe_device(const Napi::CallbackInfo& info) {
  const std::string kind = string_argument(info, 0, "device");
  const int ordinal = int_argument(info, 1, "ordinal");
  const WmBackend* const backend = require_backend(Runtime::of(info.Env()).directory(), kind);
  WmDeviceInfo device{};
  WmError error{};
  check_backend(backend->device_info(ordinal, &device, &error), error, "describing the device");
  return available(info.Env(), *backend, ordinal, device);
}

Napi::Value list_dtypes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array table = Napi::Array::New(env, kDTypeCount);
  for (uint32_t i = 0; i < kDTypeCount; i++) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", kDTypes[i].name);
    entry.Set("index", i);
    entry.Set("bits", static_cast<uint32_t>(kDTypes[i].bits));
    entry.Set("kind", kind_name(kDTypes[i].kind));
    table.Set(i, entry);
  }
  return table;
}

}  // namespace wisemerge

#include "addon/device_functions.h"

#include "addon/runtime.h"
#include "core/backends.h"
#include "wisemerge/dtype.h"

namespace wisemerge {
namespace {

Napi::Object base_report(Napi::Env env, const BackendStatus& status, int ordinal) {
  Napi::Object report = Napi::Object::New(env);
  report.Set("backend", status.name);
  report.Set("ordinal", ordinal);
  if (!status.library.empty()) report.Set("library", status.library);
  if (status.backend) report.Set("version", status.backend->version);
  return report;
}

Napi::Object unavailable(Napi::Env env, const BackendStatus& status, int ordinal, const std::string& reason) {
  Napi::Object report = base_report(env, status, ordinal);
  report.Set("available", false);
  report.Set("reason", reason);
  return report;
}

Napi::Object device_report(Napi::Env env, const BackendStatus& status, int ordinal) {
  WmDeviceInfo device{};
  WmError error{};
  if (status.backend->device_info(ordinal, &device, &error) != WM_OK) {
    return unavailable(env, status, ordinal, error.message);
  }
  Napi::Object report = base_report(env, status, ordinal);
  report.Set("available", true);
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
  for (const BackendStatus& status : backends(Runtime::of(env).directory())) {
    if (!status.reason.empty()) {
      reports.Set(reports.Length(), unavailable(env, status, 0, status.reason));
      continue;
    }
    WmError error{};
    const int count = status.backend->device_count(&error);
    for (int i = 0; i < count; i++) reports.Set(reports.Length(), device_report(env, status, i));
  }
  return reports;
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

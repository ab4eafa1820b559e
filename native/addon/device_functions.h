// Devices and dtypes as plain JavaScript objects.
#pragma once

#include <napi.h>

namespace wisemerge {

Napi::Value list_devices(const Napi::CallbackInfo& info);     // () -> DeviceReport[] of lib/native.ts
Napi::Value describe_device(const Napi::CallbackInfo& info);  // (kind, ordinal) -> DeviceReport; throws
Napi::Value list_dtypes(const Napi::CallbackInfo& info);      // () -> DTypeInfo[] of lib/native.ts

}  // namespace wisemerge

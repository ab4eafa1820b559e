// File hints for JavaScript (core/file_hints.h).
#pragma once

#include <napi.h>

namespace wisemerge {

Napi::Value sync_file_job(const Napi::CallbackInfo& info);  // (fd) -> { promise, cancel() }
Napi::Value preallocate_file(
    const Napi::CallbackInfo& info);  // (fd, bytes) -> { promise: boolean, cancel() }
Napi::Value cached_file_bytes(const Napi::CallbackInfo& info);  // (fd, bytes) -> number | undefined
Napi::Value evict_file(const Napi::CallbackInfo& info);         // (fd) -> undefined

}  // namespace wisemerge

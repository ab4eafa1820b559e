// parseHeader(buffer, jsonBytes, dataBytes): a safetensors header as columns.
#pragma once

#include <napi.h>

namespace wisemerge {

// Returns { promise, cancel() }; the promise gives the HeaderColumns of lib/native.ts.
Napi::Value parse_header(const Napi::CallbackInfo& info);

}  // namespace wisemerge

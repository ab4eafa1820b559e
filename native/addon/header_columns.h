// The header of a checkpoint file as the HeaderColumns of lib/native.ts.
#pragma once

#include <napi.h>

#include <cstdint>

#include "core/safetensors_header.h"

namespace wisemerge {

// On the JavaScript thread. `hash` identifies the header.
Napi::Object header_columns(Napi::Env env, const SafetensorsHeader& header, uint64_t hash);

}  // namespace wisemerge

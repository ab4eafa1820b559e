// parseTorchFile(fd, bytes): what a checkpoint of torch.save holds, as columns.
#pragma once

#include <napi.h>

namespace wisemerge {

// Returns { promise, cancel() }; the promise gives the TorchColumns of lib/native.ts.
Napi::Value parse_torch_file(const Napi::CallbackInfo& info);

}  // namespace wisemerge

// Device memory that lives as long as one call.
#pragma once

#include "cuda/context.h"
#include "cuda/resources.h"

namespace wisemerge::cuda {

// Freed when the device has done all that the call queued, however the call ends.
class Workspace {
 public:
  Workspace(WmContext& context, size_t bytes) : context_(context), memory_(bytes > 0 ? bytes : 1) {}
  ~Workspace() { context_.abandon(); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  std::byte* get() const { return memory_.get(); }

 private:
  WmContext& context_;
  DeviceMemory memory_;
};

}  // namespace wisemerge::cuda

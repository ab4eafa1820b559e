// HostBuffer as a JavaScript object: owns a share of the memory, shows it as one external ArrayBuffer.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "addon/runtime.h"
#include "core/host_buffer.h"

namespace wisemerge {

// Properties: arrayBuffer, release(). Jobs share the memory, so release() under a running job frees it when
// the job ends; the ArrayBuffer is detached at once. Where JavaScript has transferred it, the memory stays
// until its new ArrayBuffer is collected.
class BufferObject : public Napi::ObjectWrap<BufferObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new HostBuffer(bytes)
  explicit BufferObject(const Napi::CallbackInfo& info);
  ~BufferObject() override;

  // The argument's object and memory; throws Error ERR_BUFFER_RELEASED, ERR_INTERNAL_ARGUMENT.
  static BufferObject& argument(const Napi::CallbackInfo& info, size_t index);
  const std::shared_ptr<HostBuffer>& memory() const;

  // Remembers that the memory may be pinned in the engine and must be unpinned before it is freed.
  void pinned_in(const std::shared_ptr<Engine>& engine);

 private:
  Napi::Value release(const Napi::CallbackInfo& info);
  void drop();

  // Shared with the ArrayBuffer's finalizer, which keeps the memory while JavaScript holds views of it but
  // not this object.
  struct Share {
    std::shared_ptr<HostBuffer> memory;
  };
  struct Hold;

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<Share> share_;
  std::vector<std::weak_ptr<Engine>> pinned_in_;
};

}  // namespace wisemerge

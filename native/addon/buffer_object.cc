#include "addon/buffer_object.h"

#include <memory>
#include <string>
#include <utility>

#include "addon/arguments.h"
#include "addon/errors.h"

namespace wisemerge {
namespace {
// Tells our objects from any other: unwrapping a foreign one would be a wild pointer.
constexpr napi_type_tag kBufferTag{0x5b1f7f0c9a6e4d21ull, 0x8c3a54f2e7d09b16ull};
}  // namespace

// The ArrayBuffer's share, and where its finalizer says that it ran while the ArrayBuffer is being made.
struct BufferObject::Hold {
  std::shared_ptr<Share> share;
  bool* finalized;
};

Napi::Function BufferObject::define(Napi::Env env) {
  return DefineClass(env, "HostBuffer", {InstanceMethod("release", &BufferObject::release)});
}

BufferObject::BufferObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    share_ = std::make_shared<Share>(Share{HostBuffer::allocate(whole_argument(info, 0, "bytes"))});
    // V8 counts an external ArrayBuffer's length as external memory, so there is nothing more to adjust.
    bool finalized = false;
    auto* const hold = new Hold{share_, &finalized};
    napi_value array_buffer;
    const napi_status status = napi_create_external_arraybuffer(
        info.Env(), share_->memory->data(), share_->memory->size(),
        [](napi_env, void*, void* hint) {
          const std::unique_ptr<Hold> own(static_cast<Hold*>(hint));
          if (own->finalized) *own->finalized = true;
        },
        hold, &array_buffer);
    if (status != napi_ok) {
      // Whether a failed call has run the finalizer, and left an exception, depends on why it failed.
      if (!finalized) delete hold;
      if (info.Env().IsExceptionPending()) info.Env().GetAndClearPendingException();
      throw Error("ERR_EXTERNAL_BUFFERS",
                  "this JavaScript runtime has no external array buffer of " +
                      std::to_string(share_->memory->size()) +
                      " bytes (Electron since 21 has none at all); run wisemerge in a plain Node process");
    }
    hold->finalized = nullptr;
    info.This().As<Napi::Object>().DefineProperty(
        Napi::PropertyDescriptor::Value("arrayBuffer", array_buffer, napi_enumerable));
    info.This().As<Napi::Object>().TypeTag(&kBufferTag);
  });
}

BufferObject::~BufferObject() { drop(); }

BufferObject& BufferObject::argument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject() || !info[index].As<Napi::Object>().CheckTypeTag(&kBufferTag)) {
    throw_argument("buffer", "a HostBuffer");
  }
  return *Unwrap(info[index].As<Napi::Object>());
}

const std::shared_ptr<HostBuffer>& BufferObject::memory() const {
  if (!share_ || !share_->memory) throw Error("ERR_BUFFER_RELEASED", "this host buffer has been released");
  return share_->memory;
}

void BufferObject::pinned_in(const std::shared_ptr<Engine>& engine) { pinned_in_.push_back(engine); }

Napi::Value BufferObject::release(const Napi::CallbackInfo& info) {
  if (!share_ || !share_->memory) return info.Env().Undefined();
  auto array_buffer = info.This().As<Napi::Object>().Get("arrayBuffer").As<Napi::ArrayBuffer>();
  // ArrayBuffer.prototype.transfer has made another of it, which keeps the memory until it is collected.
  if (array_buffer.IsDetached()) {
    drop();
    return info.Env().Undefined();
  }
  // Before the memory goes: views of a detached buffer have length 0.
  array_buffer.Detach();
  const std::shared_ptr<Share> share = share_;
  drop();
  share->memory.reset();
  return info.Env().Undefined();
}

// Gives up this object's share. Unpinning is the executor's work, behind the jobs that use the memory.
void BufferObject::drop() {
  if (!share_) return;
  for (const auto& known : pinned_in_) {
    const auto engine = known.lock();
    if (!engine) continue;
    runtime_->post([engine, memory = share_->memory] { engine->unpin(memory.get()); });
  }
  pinned_in_.clear();
  share_.reset();
}

}  // namespace wisemerge
